package repair

import (
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/waiter"
)

const (
	// stallAfter is how long a connection may send nothing new, although bytes are
	// queued, or receive nothing, although it writes, before its writer has to wait.
	stallAfter = 250 * time.Millisecond

	// stallLook is the time between two looks at whether a peer is heard again.
	stallLook = 20 * time.Millisecond
)

// rtoStall blocks a connection's writer while none of its bytes leave, or while nothing
// comes back.
//
// gVisor restarts the retransmission timer with every write, even if the write sends
// nothing. A program that writes more often than every two round trips keeps both the
// tail loss probe and the retransmission timer from firing: after an outage of two
// seconds, connections that carried a few bytes every 10 ms were silent for minutes.
// If the writer waits, as it would for room in the send buffer, the timer fires.
//
// A congestion window that has room for everything written during an outage has the
// same effect: all of it is sent and lost. The first packet that arrives afterwards then
// makes RACK mark all others as lost, and the mark outlives the timeouts that follow: every
// acknowledgement enters fast recovery, which retransmits one packet.
type rtoStall struct {
	wake func() // wakes the writer

	sent    atomic.Uint32 // packets with new data
	waiting atomic.Bool

	// Of the writer, which holds the write side's turn:
	unsent, unheard stallClock
	timeouts        uint64 // retransmission timeouts when the first of them began
}

// stallClock measures how long a counter has stood still while the program wrote.
type stallClock struct {
	count uint64    // at the last look
	since time.Time // of the first write at which it stood still; zero = none
}

// wrote is called after a write, with the counter's value.
func (c *stallClock) wrote(count uint64) {
	switch {
	case count != c.count:
		*c = stallClock{count: count}
	case c.since.IsZero():
		c.since = time.Now()
	}
}

// stands reports whether the counter still stands, and for how long.
func (c *stallClock) stands(count uint64) (time.Duration, bool) {
	if c.since.IsZero() || count != c.count {
		return 0, false
	}
	return time.Since(c.since), true
}

// sentNew is called, under the endpoint's lock, when a packet carries new data.
func (s *rtoStall) sentNew() {
	s.sent.Add(1)
	s.release()
}

// timedOut is called, under the endpoint's lock, when the retransmission timer has
// fired.
func (s *rtoStall) timedOut() { s.release() }

func (s *rtoStall) release() {
	if s.waiting.CompareAndSwap(true, false) {
		s.wake()
	}
}

// Wrote is called after the endpoint has accepted bytes.
func (f *Flow) Wrote() {
	s := &f.stall
	still := s.unsent.since.IsZero() && s.unheard.since.IsZero()
	s.unsent.wrote(uint64(s.sent.Load()))
	s.unheard.wrote(f.stats.SegmentsReceived.Value())
	if still {
		s.timeouts = f.stats.SendErrors.Timeouts.Value()
	}
}

// Stalled reports whether the writer has to wait before it writes more. It is woken
// when it may go on or when the connection ends, and perhaps earlier.
func (f *Flow) Stalled() bool {
	if !f.stands() {
		return false
	}
	s := &f.stall
	if f.ep.Readiness(waiter.EventHUp) != 0 { // no timer will fire; the write returns the error
		s.begin()
		return false
	}
	s.waiting.Store(true)
	if f.stands() && f.stats.SendErrors.Timeouts.Value() == s.timeouts {
		if _, unsent := s.unsent.stands(uint64(s.sent.Load())); !unsent { // nothing tells when the peer is heard
			time.AfterFunc(stallLook, s.release)
		}
		return true
	}
	s.waiting.Store(false)
	s.begin()
	return false
}

// stands reports whether one of the clocks has stood still for too long.
func (f *Flow) stands() bool {
	unsent, _ := f.stall.unsent.stands(uint64(f.stall.sent.Load()))
	unheard, _ := f.stall.unheard.stands(f.stats.SegmentsReceived.Value())
	d := max(unsent, unheard)
	return d >= stallAfter && d >= 2*f.roundTrip()
}

// begin starts both clocks anew at the next write.
func (s *rtoStall) begin() { s.unsent.since, s.unheard.since = time.Time{}, time.Time{} }
