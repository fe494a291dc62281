package link

import (
	"sync"

	"nexd/internal/packet"
)

// gapTable remembers the next expected sequence number of recent connections, to
// notice a missing packet. Segments after a gap are not joined, so that the stack
// sends a duplicate acknowledgement for each: gVisor as the sender counts duplicate
// acknowledgements, not the bytes that their SACK blocks cover, and needs three for a
// fast retransmission. After a single one it would wait for its retransmission timer,
// 200 ms.
//
// The table is a cache: for a connection that it has forgotten, segments are joined
// although there is a gap.
type gapTable struct {
	mu      sync.Mutex
	entries [256]gapEntry
}

type gapEntry struct {
	flow packet.Flow
	next uint32 // sequence number after the highest byte received
	open bool
}

func (t *gapTable) entry(f packet.Flow) *gapEntry {
	i := f.Src.Port() ^ f.Dst.Port() ^ f.Dst.Port()>>8
	if f.Src.Addr().Is4() {
		a := f.Src.Addr().As4()
		i ^= uint16(a[3])
	} else {
		a := f.Src.Addr().As16()
		i ^= uint16(a[15])
	}
	return &t.entries[uint8(i)^uint8(i>>8)]
}

// begins is told where a run begins and reports whether other segments may join it.
func (t *gapTable) begins(f packet.Flow, seq uint32) (join bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.entry(f)
	if e.flow != f {
		*e = gapEntry{flow: f, next: seq}
		return true
	}
	switch ahead := int32(seq - e.next); {
	case ahead > 0:
		e.open = true
	case ahead < 0:
		e.open = false // a retransmission: assume that it fills the gap
	}
	return !e.open
}

// ended is told where a run ended.
func (t *gapTable) ended(f packet.Flow, next uint32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.entry(f); e.flow == f && int32(next-e.next) > 0 {
		e.next = next
	}
}
