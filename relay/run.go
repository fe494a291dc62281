package relay

import (
	"sync"

	"nexd/internal/udprun"
)

// RunRoom is how many bytes precede each packet of a run for Carrier.SendRun.
const RunRoom = shortRoom

// run is a sequence of packets of one peer, laid out as short datagrams.
type run struct {
	buf     [udprun.MostBytes]byte
	n       int
	segment int
	full    bool // its last datagram is shorter than segment, so nothing may follow
}

var runs = sync.Pool{New: func() any { return new(run) }}

// add appends a packet. It returns false if the packet does not fit into the run.
func (r *run) add(packet []byte) bool {
	size := RunRoom + len(packet)
	switch {
	case ClassOf(packet) != Data, r.full, r.n+size > len(r.buf):
		return false
	case r.n == 0:
		r.segment = size
	case size > r.segment, r.n >= udprun.MostSegments*r.segment:
		return false
	}
	copy(r.buf[r.n+RunRoom:], packet)
	r.n += size
	r.full = size < r.segment
	return true
}
