package disco

import "slices"

// windowSize is how many times are remembered. Pings to all candidates of a peer
// leave together and may overtake each other.
const windowSize = 128

// Window knows the times of a peer's messages that were taken. The zero value has
// taken none. It refuses a time twice, and one that is older than the oldest it
// remembers.
type Window struct {
	taken []uint64 // ascending
}

// Take says whether t may be taken, and remembers it.
func (w *Window) Take(t uint64) bool {
	i, found := slices.BinarySearch(w.taken, t)
	if found || i == 0 && len(w.taken) == windowSize {
		return false
	}
	w.taken = slices.Insert(w.taken, i, t)
	if len(w.taken) > windowSize {
		w.taken = slices.Delete(w.taken, 0, 1)
	}
	return true
}
