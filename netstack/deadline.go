package netstack

import (
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// signal wakes the one goroutine that waits on it, now or when it next waits.
type signal chan struct{}

func newSignal() signal { return make(signal, 1) }

func (s signal) wake() {
	select {
	case s <- struct{}{}:
	default:
	}
}

// side is one direction of a connection: callers take turns, and the one whose
// turn it is can be woken by the stack, by a deadline and by Close.
type side struct {
	turn  sync.Mutex // held while a call waits: as in package net, calls of one direction queue up
	ready signal

	mu      sync.Mutex // guards what follows
	timer   *time.Timer
	setting int // counts deadlines set, so that a late timer of an old one is known
	expired atomic.Bool
}

func (s *side) init() { s.ready = newSignal() }

// close stops the timer and wakes the waiting call, which will see for itself
// that its connection is closed.
func (s *side) close() {
	s.setDeadline(time.Time{})
	s.ready.wake()
}

// setDeadline is SetReadDeadline or SetWriteDeadline; zero means none.
func (s *side) setDeadline(t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
	s.setting++
	if t.IsZero() {
		s.expired.Store(false)
		return
	}
	left := time.Until(t)
	s.expired.Store(left <= 0)
	if left <= 0 {
		s.ready.wake()
		return
	}
	setting := s.setting
	s.timer = time.AfterFunc(left, func() { s.expire(setting) })
}

func (s *side) expire(setting int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if setting == s.setting {
		s.expired.Store(true)
		s.ready.wake()
	}
}

// deadlineError is os.ErrDeadlineExceeded once the deadline has passed.
func (s *side) deadlineError() error {
	if s.expired.Load() {
		return os.ErrDeadlineExceeded
	}
	return nil
}
