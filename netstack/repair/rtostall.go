package repair

import (
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/waiter"
)

// stallAfter is how long a connection may send nothing new, although bytes are
// queued, before its writer has to wait.
const stallAfter = 250 * time.Millisecond

// rtoStall blocks a connection's writer while none of its bytes leave.
//
// gVisor restarts the retransmission timer with every write, even if the write sends
// nothing. A program that writes more often than every two round trips keeps both the
// tail loss probe and the retransmission timer from firing: after an outage of two
// seconds, connections that carried a few bytes every 10 ms were silent for minutes.
// If the writer waits, as it would for room in the send buffer, the timer fires.
type rtoStall struct {
	wake func() // wakes the writer

	sent    atomic.Uint32 // packets with new data
	waiting atomic.Bool

	// Of the writer, which holds the write side's turn:
	seen     uint32    // sent at the last look
	timeouts uint64    // retransmission timeouts at the last look
	since    time.Time // when the first write sent nothing; zero = none
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
	if s.waiting.Load() {
		s.waiting.Store(false)
		s.wake()
	}
}

// Wrote is called after the endpoint has accepted bytes.
func (f *Flow) Wrote() {
	s := &f.stall
	if n := s.sent.Load(); n != s.seen {
		s.seen, s.since = n, time.Time{}
		return
	}
	if s.since.IsZero() {
		s.since, s.timeouts = time.Now(), f.stats.SendErrors.Timeouts.Value()
	}
}

// Stalled reports whether the writer has to wait before it writes more. It is woken
// when it may go on or when the connection ends.
func (f *Flow) Stalled() bool {
	s := &f.stall
	if s.since.IsZero() {
		return false
	}
	if f.ep.Readiness(waiter.EventHUp) != 0 { // no timer will fire; the write returns the error
		s.since = time.Time{}
		return false
	}
	if d := time.Since(s.since); d < stallAfter || d < 2*f.roundTrip() {
		return false
	}
	s.waiting.Store(true)
	if s.sent.Load() == s.seen && f.stats.SendErrors.Timeouts.Value() == s.timeouts {
		return true
	}
	s.waiting.Store(false)
	s.since = time.Time{}
	return false
}
