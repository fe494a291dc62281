package accept

import (
	"context"
	"time"
)

// The pause after the first failure, and the longest pause.
const (
	firstPause = 5 * time.Millisecond
	maxPause   = time.Second
)

// Backoff makes the pauses between failed accepts, or reads of a socket: each is twice the one
// before, up to a second. The zero value is ready.
type Backoff struct{ failures int }

// Failures is the number of waits since Reset.
func (b *Backoff) Failures() int { return b.failures }

// Reset is called after a success.
func (b *Backoff) Reset() { b.failures = 0 }

// Wait pauses after a failure, or until ctx ends.
func (b *Backoff) Wait(ctx context.Context) {
	pause := min(firstPause<<min(b.failures, 10), maxPause)
	b.failures++
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
