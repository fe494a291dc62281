// Package eventually lets a test wait for a condition instead of sleeping for as long
// as the condition usually takes. It is for tests only.
package eventually

import (
	"testing"
	"time"
)

// Patience is how long True waits. It is far beyond what any condition takes on an
// idle machine: a test that waits for less fails on a busy one.
const Patience = 30 * time.Second

// The condition is asked every tenth of the time waited so far, within these bounds,
// so that a short wait ends at once and a long one costs little.
const (
	shortest = time.Millisecond
	longest  = 100 * time.Millisecond
)

// True waits until ok returns true and says how long that took. It fails the test
// after Patience; what is the condition in words. Call it from the test's goroutine.
func True(t testing.TB, what string, ok func() bool) time.Duration {
	t.Helper()
	return Within(t, Patience, what, ok)
}

// Within is True with a limit of its own, for conditions that must hold by then.
func Within(t testing.TB, limit time.Duration, what string, ok func() bool) time.Duration {
	t.Helper()
	return Shown(t, limit, func() string { return what }, ok)
}

// Shown is Within for a failure that should show what was there instead: what is
// called when the test fails.
func Shown(t testing.TB, limit time.Duration, what func() string, ok func() bool) time.Duration {
	t.Helper()
	took, held := Soon(limit, ok)
	if !held {
		t.Fatalf("not within %v: %s", limit, what())
	}
	return took
}

// Soon waits until ok returns true or the limit has passed, and says which and how long
// that took. It is for goroutines other than the test's, which must not end the test.
func Soon(limit time.Duration, ok func() bool) (took time.Duration, held bool) {
	for start := time.Now(); ; {
		if ok() {
			return time.Since(start), true
		}
		waited := time.Since(start)
		if waited > limit {
			return waited, false
		}
		time.Sleep(step(waited))
	}
}

// Stays asks for as long as span whether ok still returns true, and fails the test if it
// does not: for what must not happen. what is the condition in words.
func Stays(t testing.TB, span time.Duration, what string, ok func() bool) {
	t.Helper()
	for start := time.Now(); ; {
		if !ok() {
			t.Fatalf("no longer so after %v: %s", time.Since(start).Round(time.Millisecond), what)
		}
		waited := time.Since(start)
		if waited > span {
			return
		}
		time.Sleep(min(step(waited), max(span-waited, shortest)))
	}
}

func step(waited time.Duration) time.Duration { return min(max(waited/10, shortest), longest) }
