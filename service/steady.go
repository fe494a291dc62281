package service

import (
	"sync"
	"time"
)

// clockStep is how far the clock may move against the time that passes before it counts as set.
const clockStep = 5 * time.Second

// steady knows since when the service has run without its clock being set or its host being
// asleep. Before that, the times at which nodes were last seen say nothing about silence: nobody
// was there to see them, or the clock was another one.
type steady struct {
	now func() time.Time     // the wall clock
	ran func() time.Duration // how long this process has run; stands still while the host sleeps

	mu    sync.Mutex
	began time.Time     // by now
	at    time.Duration // by ran, at the same moment
}

func newSteady(now func() time.Time) *steady {
	start := time.Now()
	return &steady{now: now, ran: func() time.Duration { return time.Since(start) }, began: now()}
}

// before is the time before which a node must have been last seen to have been silent for d. It is
// the zero time while that cannot be known.
func (s *steady) before(d time.Duration) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, ran := s.now(), s.ran()
	if off := now.Round(0).Sub(s.began.Round(0)) - (ran - s.at); off.Abs() > clockStep {
		s.began, s.at = now, ran
	}
	if ran-s.at < d {
		return time.Time{}
	}
	return now.Add(-d)
}
