package relay

import (
	"sync"

	"nexd/internal/udprun"
)

// RunRoom is how many bytes lie before each packet of a run that Carrier.SendRun takes.
const RunRoom = shortRoom

// run is packets of one peer laid out as short datagrams.
type run struct {
	buf     [udprun.MostBytes]byte
	n       int
	segment int
	full    bool // its last datagram is shorter
}

var runs = sync.Pool{New: func() any { return new(run) }}

// add copies a packet behind the others; false if it does not fit there.
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
