package service

import (
	"testing"
	"time"
)

// The service knows who was silent only for as long as it has run under a steady clock.
func TestSilenceIsMeasuredUnderASteadyClock(t *testing.T) {
	wall, ran := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), time.Duration(0)
	s := &steady{now: func() time.Time { return wall }, ran: func() time.Duration { return ran }, began: wall}
	pass := func(d time.Duration) { wall, ran = wall.Add(d), ran+d }
	known := func(what string, want bool) {
		t.Helper()
		switch got := s.before(time.Minute); {
		case got.IsZero() == want:
			t.Errorf("%s: before = %v, want known %v", what, got, want)
		case want && !got.Equal(wall.Add(-time.Minute)):
			t.Errorf("%s: before = %v at %v", what, got, wall)
		}
	}
	known("started", false)
	pass(59 * time.Second)
	known("just started", false)
	pass(time.Second)
	known("a minute after the start", true)
	for _, by := range []time.Duration{time.Hour, -2 * time.Hour} { // set, or the host slept
		wall = wall.Add(by)
		known("clock moved", false)
		pass(time.Minute)
		known("a minute after the clock moved", true)
	}
	wall = wall.Add(time.Second)
	known("slewed", true)
}
