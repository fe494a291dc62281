package netstack

import (
	"sync"
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"nexd/internal/packet"
)

// An acknowledgement that says little waits for holdFor at most. After one that
// waited in vain the next holdAgain of its connection do not wait.
const (
	holdFor   = 5 * time.Millisecond
	holdAgain = 16
)

// holder keeps acknowledgements back for a moment, because most programs answer
// what they are told: the answer carries the same news, and costs WireGuard, both
// stacks and the network no packet more. gVisor acknowledges everything at once; a
// connection that exchanges a byte each way needs eleven packets so, and eight with
// this.
//
// As RFC 1122, section 4.2.3.2, and RFC 5681, section 4.2, want it, never two wait:
// the second in a row takes the first with it. What a sender counts on is not held
// back: the acknowledgement of a whole packet's worth or more, a duplicate, news of
// a hole or of the window, the end of a handshake, and anything after our own FIN,
// behind which no answer can come.
//
// A sender that waits for the acknowledgement before it says more, by Nagle's
// algorithm, would meet the delay each time; so where waiting was in vain it is not
// tried again for a while.
type holder struct {
	out *egress

	mu      sync.Mutex // guards what follows, and the flows' holding
	waiting []held     // in the order of their ends; some went another way meanwhile
	timer   *time.Timer
	armed   bool
	closed  bool
}

// held is an acknowledgement that waits, unless its flow is at another turn.
type held struct {
	flow  *flow
	turn  uint32
	until time.Time
}

// holding is a flow's share.
type holding struct {
	// Under the endpoint's lock:
	known    bool   // something was acknowledged
	acked    uint32 // as far as this
	finished bool   // our FIN was sent

	busy atomic.Bool // pkt is there

	// Under holder.mu:
	pkt  *stack.PacketBuffer
	turn uint32
	skip int // this many more are not held
}

// takes says whether the packet, one of f's, is kept back; if not, it goes now, and
// what was kept back is dropped in its favour. It is called under the endpoint's lock.
func (h *holder) takes(pkt *stack.PacketBuffer, f *flow) bool {
	may := f.holding.may(pkt, f.payload())
	if !may && !f.holding.busy.Load() {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	s := &f.holding
	switch {
	case s.pkt != nil:
		s.drop()
		return false
	case !may || h.closed:
		return false
	case s.skip > 0:
		s.skip--
		return false
	}
	s.pkt = pkt.IncRef()
	s.turn++
	s.busy.Store(true)
	h.waiting = append(h.waiting, held{f, s.turn, time.Now().Add(holdFor)})
	if !h.armed {
		h.arm(holdFor)
	}
	return true
}

// may notes what a packet acknowledges and says whether it is one to keep back.
func (s *holding) may(pkt *stack.PacketBuffer, mss int) bool {
	tcp := packet.TCP(pkt.TransportHeader().Slice())
	if len(tcp) < packet.TCPHeaderLen || tcp.Flags()&packet.ACK == 0 {
		return false
	}
	more := tcp.Ack() - s.acked
	known := s.known
	s.known, s.acked = true, tcp.Ack()
	if tcp.Flags()&packet.FIN != 0 {
		s.finished = true
	}
	return known && !s.finished && tcp.Flags() == packet.ACK && pkt.Data().Size() == 0 &&
		0 < more && more < uint32(mss) && plainOptions(tcp)
}

// plainOptions says whether there are no options but timestamps, the way gVisor
// writes them.
func plainOptions(tcp packet.TCP) bool {
	const nop, timestamps, size = 1, 8, 10
	o := tcp[packet.TCPHeaderLen:]
	return len(o) == 0 || len(o) == 2+size && o[0] == nop && o[1] == nop && o[2] == timestamps
}

// drop lets go of what is kept back; the caller holds holder.mu.
func (s *holding) drop() {
	s.pkt.DecRef()
	s.pkt = nil
	s.busy.Store(false)
}

// arm has release called; the caller holds mu.
func (h *holder) arm(d time.Duration) {
	h.armed = true
	if h.timer == nil {
		h.timer = time.AfterFunc(d, h.release)
		return
	}
	h.timer.Reset(d)
}

// release sends what has waited long enough.
func (h *holder) release() {
	for {
		pkt := h.due(time.Now())
		if pkt == nil {
			return
		}
		h.out.push(pkt)
		pkt.DecRef()
	}
}

// due takes one that has waited long enough. If there is none it sets the timer for
// the next.
func (h *holder) due(now time.Time) *stack.PacketBuffer {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, w := range h.waiting {
		s := &w.flow.holding
		current := s.pkt != nil && s.turn == w.turn
		if current && now.Before(w.until) {
			h.forget(i)
			h.arm(w.until.Sub(now))
			return nil
		}
		if current {
			h.forget(i + 1)
			pkt := s.pkt
			s.pkt, s.skip = nil, holdAgain
			s.busy.Store(false)
			return pkt
		}
	}
	h.forget(len(h.waiting))
	h.armed = false
	return nil
}

// forget removes the first n that waited.
func (h *holder) forget(n int) {
	left := copy(h.waiting, h.waiting[n:])
	clear(h.waiting[left:])
	h.waiting = h.waiting[:left]
}

// close drops all that wait; nothing is kept back any more.
func (h *holder) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	if h.timer != nil {
		h.timer.Stop()
	}
	for _, w := range h.waiting {
		if w.flow.holding.pkt != nil {
			w.flow.holding.drop()
		}
	}
	h.forget(len(h.waiting))
}

// begins tells where the peer's stream begins, which the handshake acknowledged.
func (f *flow) begins(next uint32) {
	f.ep.LockUser()
	defer f.ep.UnlockUser()
	if s := &f.holding; !s.known {
		s.known, s.acked = true, next
	}
}
