package arrived

import "sync/atomic"

// Counters is how many counters there are: four of packets that go directly, by size, and three
// of those through the relay.
const Counters = 7

// Every is the least number of nanoseconds between two reports to a peer.
const Every = int64(1e9)

const relayed = 4 // index of the first counter of the relay

// bounds are the largest WireGuard messages of each class but the last of a way.
var bounds = [3]int{512, 1232, 1360}

// Direct is the counter of a message of a size that goes directly.
func Direct(size int) int {
	switch {
	case size > bounds[2]:
		return 3
	case size > bounds[1]:
		return 2
	case size > bounds[0]:
		return 1
	}
	return 0
}

// Relayed is the counter of a message of a size that the relay carries.
func Relayed(size int) int { return relayed + min(Direct(size), 2) }

// Batch counts the packets of one batch, on one goroutine.
type Batch struct {
	n       [Counters]uint32
	largest uint32
	any     bool
}

// Direct counts packets of one size that came directly.
func (b *Batch) Direct(size int, packets uint32) {
	b.n[Direct(size)] += packets
	b.largest = max(b.largest, uint32(size))
	b.any = true
}

// Relayed counts a packet that came through the relay.
func (b *Batch) Relayed(size int) {
	b.n[Relayed(size)]++
	b.any = true
}

// Received are the packets from a peer.
type Received struct {
	n        [Counters]atomic.Uint32
	largest  atomic.Uint32
	reported atomic.Int64 // moment of the last report
}

// Add adds a batch and empties it. It returns false if the batch was empty.
func (r *Received) Add(b *Batch) bool {
	if !b.any {
		return false
	}
	add(&r.n, &b.n)
	for old := r.largest.Load(); b.largest > old && !r.largest.CompareAndSwap(old, b.largest); old = r.largest.Load() {
	}
	*b = Batch{}
	return true
}

// Due reports whether the last report is long enough ago for another one, which is then the
// caller's to send.
func (r *Received) Due(now int64) bool {
	last := r.reported.Load()
	return (last == 0 || now-last >= Every) && r.reported.CompareAndSwap(last, now)
}

// Report is what a report says: the counters, and the size of the largest packet that came
// directly since the last one.
func (r *Received) Report() (counts [Counters]uint32, largest uint16) {
	for i := range r.n {
		counts[i] = r.n[i].Load()
	}
	return counts, uint16(min(r.largest.Swap(0), 1<<16-1))
}

// Sent are the packets to a peer.
type Sent struct {
	n    [Counters]atomic.Uint32
	runs atomic.Uint32
}

// Direct counts packets sent directly, and whether they may have left as runs.
func (s *Sent) Direct(bufs [][]byte, run bool) {
	s.add(bufs, Direct)
	if run && len(bufs) > 1 {
		s.runs.Add(uint32(len(bufs)))
	}
}

// Relayed counts packets sent through the relay.
func (s *Sent) Relayed(bufs [][]byte) { s.add(bufs, Relayed) }

func (s *Sent) add(bufs [][]byte, class func(int) int) {
	size, same := len(bufs[0]), uint32(0) // packets of one size follow each other
	for _, buf := range bufs {
		if len(buf) != size {
			s.n[class(size)].Add(same)
			size, same = len(buf), 0
		}
		same++
	}
	s.n[class(size)].Add(same)
}

// Counts are the packets sent, and how many of those that went directly may have left in runs.
func (s *Sent) Counts() (counts [Counters]uint32, runs uint32) {
	for i := range s.n {
		counts[i] = s.n[i].Load()
	}
	return counts, s.runs.Load()
}

func add(to *[Counters]atomic.Uint32, n *[Counters]uint32) {
	for i, k := range n {
		if k > 0 {
			to[i].Add(k)
		}
	}
}
