package netstack

import (
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/waiter"
)

// stallAfter is how long nothing new may leave, although there is something, before
// a writer is held back.
const stallAfter = 250 * time.Millisecond

// stall holds a writer back while nothing it wrote leaves.
//
// gVisor begins its wait for an acknowledgement anew with every write, whether that
// sends anything or not: a program that writes more often than two round trips keeps
// both the loss probe and the retransmission timer from ever firing. After an outage
// of two seconds, connections that carried a few bytes every 10 ms were silent for
// minutes. A writer that waits, as it would for room, lets the timer fire.
type stall struct {
	wake func() // the writer

	fresh   atomic.Uint32 // packets with data that was never sent before
	waiting atomic.Bool

	// Of the writer whose turn it is:
	seen     uint32    // fresh, when last looked at
	timeouts uint64    // the same of the retransmission timer
	since    time.Time // moment of the first write after that which sent nothing; zero = none
}

// sentFresh and timedOut are told by the flow, under the endpoint's lock.
func (s *stall) sentFresh() {
	s.fresh.Add(1)
	s.release()
}

func (s *stall) timedOut() { s.release() }

func (s *stall) release() {
	if s.waiting.Load() {
		s.waiting.Store(false)
		s.wake()
	}
}

// wrote is told that the endpoint has taken bytes.
func (c *Conn) wrote() {
	s := &c.flow.stall
	if f := s.fresh.Load(); f != s.seen {
		s.seen, s.since = f, time.Time{}
		return
	}
	if s.since.IsZero() {
		s.since, s.timeouts = time.Now(), c.flow.stats.SendErrors.Timeouts.Value()
	}
}

// held says whether the writer is to wait; its side is woken when it no longer is,
// or when the connection ends.
func (c *Conn) held() bool {
	s := &c.flow.stall
	if s.since.IsZero() {
		return false
	}
	if c.ep.Readiness(waiter.EventHUp) != 0 { // no timer will fire; the write says why
		s.since = time.Time{}
		return false
	}
	if d := time.Since(s.since); d < stallAfter || d < 2*c.roundTrip() {
		return false
	}
	s.waiting.Store(true)
	if s.fresh.Load() == s.seen && c.flow.stats.SendErrors.Timeouts.Value() == s.timeouts {
		return true
	}
	s.waiting.Store(false)
	s.since = time.Time{}
	return false
}
