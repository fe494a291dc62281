package disco

import "slices"

// windowSize is the number of remembered times. Pings to all candidates of a peer leave
// together and may overtake each other.
const windowSize = 128

// Window refuses replayed messages: it takes each time once, and no time older than the
// oldest that it remembers. The zero value has taken none.
type Window struct {
	taken []uint64 // ascending
}

// Take reports whether a message with time t is new, and remembers t.
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
