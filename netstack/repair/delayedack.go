package repair

import (
	"sync"
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"nexd/internal/packet"
)

const (
	// ackDelay is how long an acknowledgement waits for data to carry it.
	ackDelay = 5 * time.Millisecond

	// ackSkip is how many acknowledgements of a connection are sent at once after
	// one whose delay expired.
	ackSkip = 16
)

// ackDelayer delays acknowledgements (RFC 1122 section 4.2.3.2, RFC 5681 section
// 4.2), which gVisor sends at once. Most programs answer what they receive, and the
// answer carries the acknowledgement. A connection that exchanges one byte each way
// takes eight packets instead of eleven.
//
// At most one acknowledgement of a connection is delayed: a second one is sent and
// replaces the first. Acknowledgements that the sender depends on are never delayed:
// those of a full packet or more, duplicates, SACK blocks, window updates, the end of
// a handshake, and everything after our own FIN, which no data can follow.
//
// A sender that uses Nagle's algorithm waits for the acknowledgement and would meet
// the full delay each time. So after a delay that expired, the next ackSkip
// acknowledgements of the connection are not delayed.
type ackDelayer struct {
	send func(*stack.PacketBuffer) bool

	mu      sync.Mutex   // guards the following fields and those of ackState that say so
	delayed []delayedACK // in the order of their deadlines; some were replaced meanwhile
	timer   *time.Timer
	armed   bool
	closed  bool
}

// delayedACK is an acknowledgement that waits, unless the flow's turn has changed.
type delayedACK struct {
	flow  *Flow
	turn  uint32
	until time.Time
}

// ackState is the state of one connection.
type ackState struct {
	// Under the endpoint's lock:
	known    bool   // acked is valid
	acked    uint32 // highest acknowledgement number sent
	finished bool   // our FIN was sent

	pending atomic.Bool // pkt is set

	// Under ackDelayer.mu:
	pkt  *stack.PacketBuffer
	turn uint32
	skip int // acknowledgements left to send at once
}

// delays reports whether it has taken pkt, a packet of f. If not, the packet is to be
// sent now, and the delayed acknowledgement, which it replaces, is dropped. The
// caller holds the endpoint's lock.
func (d *ackDelayer) delays(pkt *stack.PacketBuffer, f *Flow) bool {
	eligible := f.ack.eligible(pkt, f.Payload())
	if !eligible && !f.ack.pending.Load() {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	s := &f.ack
	switch {
	case s.pkt != nil:
		s.drop()
		return false
	case !eligible || d.closed:
		return false
	case s.skip > 0:
		s.skip--
		return false
	}
	s.pkt = pkt.IncRef()
	s.turn++
	s.pending.Store(true)
	d.delayed = append(d.delayed, delayedACK{f, s.turn, time.Now().Add(ackDelay)})
	if !d.armed {
		d.arm(ackDelay)
	}
	return true
}

// eligible notes what a packet acknowledges and reports whether the packet may be
// delayed.
func (s *ackState) eligible(pkt *stack.PacketBuffer, mss int) bool {
	tcp := packet.TCP(pkt.TransportHeader().Slice())
	if len(tcp) < packet.TCPHeaderLen || tcp.Flags()&packet.ACK == 0 {
		return false
	}
	newly := tcp.Ack() - s.acked
	known := s.known
	s.known, s.acked = true, tcp.Ack()
	if tcp.Flags()&packet.FIN != 0 {
		s.finished = true
	}
	return known && !s.finished && tcp.Flags() == packet.ACK && pkt.Data().Size() == 0 &&
		0 < newly && newly < uint32(mss) && onlyTimestamps(tcp)
}

// onlyTimestamps reports whether a header has no options or only timestamps, in the
// form in which gVisor writes them.
func onlyTimestamps(tcp packet.TCP) bool {
	const nop, timestamps, size = 1, 8, 10
	o := tcp[packet.TCPHeaderLen:]
	return len(o) == 0 || len(o) == 2+size && o[0] == nop && o[1] == nop && o[2] == timestamps
}

// drop releases the delayed packet; the caller holds ackDelayer.mu.
func (s *ackState) drop() {
	s.pkt.DecRef()
	s.pkt = nil
	s.pending.Store(false)
}

// arm sets the timer; the caller holds mu.
func (d *ackDelayer) arm(after time.Duration) {
	d.armed = true
	if d.timer == nil {
		d.timer = time.AfterFunc(after, d.expire)
		return
	}
	d.timer.Reset(after)
}

// expire sends the acknowledgements whose delay has expired.
func (d *ackDelayer) expire() {
	for {
		pkt := d.due(time.Now())
		if pkt == nil {
			return
		}
		d.send(pkt)
		pkt.DecRef()
	}
}

// due removes an acknowledgement whose delay has expired. If there is none, it sets
// the timer for the next one and returns nil.
func (d *ackDelayer) due(now time.Time) *stack.PacketBuffer {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, w := range d.delayed {
		s := &w.flow.ack
		current := s.pkt != nil && s.turn == w.turn
		if current && now.Before(w.until) {
			d.forget(i)
			d.arm(w.until.Sub(now))
			return nil
		}
		if current {
			d.forget(i + 1)
			pkt := s.pkt
			s.pkt, s.skip = nil, ackSkip
			s.pending.Store(false)
			return pkt
		}
	}
	d.forget(len(d.delayed))
	d.armed = false
	return nil
}

// forget removes the first n entries.
func (d *ackDelayer) forget(n int) {
	left := copy(d.delayed, d.delayed[n:])
	clear(d.delayed[left:])
	d.delayed = d.delayed[:left]
}

// close drops all delayed acknowledgements; later ones are not delayed.
func (d *ackDelayer) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	if d.timer != nil {
		d.timer.Stop()
	}
	for _, w := range d.delayed {
		if w.flow.ack.pkt != nil {
			w.flow.ack.drop()
		}
	}
	d.forget(len(d.delayed))
}
