package netstack

import (
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// signal wakes the one goroutine that receives from it, now or when it next does.
type signal chan struct{}

func newSignal() signal { return make(signal, 1) }

func (s signal) wake() {
	select {
	case s <- struct{}{}:
	default:
	}
}

// side is one direction of a connection. Calls take turns. The call that has the turn
// is woken by the stack, by a deadline and by Close.
type side struct {
	turn  sync.Mutex // held while a call blocks; as in package net, others queue up behind it
	ready signal

	mu      sync.Mutex // guards timer and setting
	timer   *time.Timer
	setting int // number of deadlines set; identifies the timer of an old one
	expired atomic.Bool
}

func (s *side) init() { s.ready = newSignal() }

// close stops the timer and wakes the blocked call, which then finds its connection
// closed.
func (s *side) close() {
	s.setDeadline(time.Time{})
	s.ready.wake()
}

// setDeadline sets the deadline of this direction. The zero time means none.
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

// deadlineError returns os.ErrDeadlineExceeded after the deadline has passed.
func (s *side) deadlineError() error {
	if s.expired.Load() {
		return os.ErrDeadlineExceeded
	}
	return nil
}
