package netstack

import (
	"sync"

	"nexd/internal/packet"
)

// holes remembers where the data of recent connections should go on, to notice
// when a packet is missing. Segments after a hole are not joined, so that the
// stack acknowledges each of them: a sender needs three such acknowledgements to
// send the missing packet again at once, and gVisor as the sender counts only
// those, not the bytes they speak of. With one for all it would wait for its
// timer, 200 milliseconds.
//
// It is a cache: a connection it has forgotten is only joined too eagerly.
type holes struct {
	mu      sync.Mutex
	entries [256]holeEntry
}

type holeEntry struct {
	flow packet.Flow
	next uint32 // after the highest byte seen
	open bool
}

func (h *holes) entry(f packet.Flow) *holeEntry {
	i := f.Src.Port() ^ f.Dst.Port() ^ f.Dst.Port()>>8
	if f.Src.Addr().Is4() {
		a := f.Src.Addr().As4()
		i ^= uint16(a[3])
	} else {
		a := f.Src.Addr().As16()
		i ^= uint16(a[15])
	}
	return &h.entries[uint8(i)^uint8(i>>8)]
}

// begins is told where a run begins, and says whether others may join it.
func (h *holes) begins(f packet.Flow, seq uint32) (join bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	e := h.entry(f)
	if e.flow != f {
		*e = holeEntry{flow: f, next: seq}
		return true
	}
	switch ahead := int32(seq - e.next); {
	case ahead > 0:
		e.open = true
	case ahead < 0:
		e.open = false // sent again: it fills the hole, for all that is known
	}
	return !e.open
}

// ended is told where a run ended.
func (h *holes) ended(f packet.Flow, next uint32) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if e := h.entry(f); e.flow == f && int32(next-e.next) > 0 {
		e.next = next
	}
}
