package control

import (
	"math/rand/v2"
	"time"
)

// Waits between attempts to reach the service.
const (
	backoffFirst = 500 * time.Millisecond
	backoffMost  = 30 * time.Second
	backoffGood  = time.Minute // a connection that lasted this long resets the wait
)

// Backoff computes the wait before the next attempt: half a second, doubled each time up to
// half a minute, drawn from the upper half so that a thousand agents do not reconnect at
// once. The zero value is ready. It has no clock.
type Backoff struct {
	tries int
	// Rand draws from [0, 1), for tests; nil means a random source.
	Rand func() float64
}

// Next returns the wait before the next attempt, given the duration of the last connection
// and the error that ended it. The error's RetryAfter is a lower bound.
func (b *Backoff) Next(held time.Duration, err error) time.Duration {
	if held >= backoffGood {
		b.tries = 0
	}
	wait := backoffMost
	if b.tries < 6 { // 0.5 s << 6 = 32 s
		wait = backoffFirst << b.tries
	}
	b.tries++
	draw := rand.Float64
	if b.Rand != nil {
		draw = b.Rand
	}
	wait = wait/2 + time.Duration(draw()*float64(wait/2))
	if least := RetryAfter(err); wait < least {
		wait = least + time.Duration(draw()*float64(least/4))
	}
	return wait
}

// Reset makes the next wait the shortest again.
func (b *Backoff) Reset() { b.tries = 0 }
