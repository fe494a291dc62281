package datagram

import (
	"sync"
	"sync/atomic"
	"time"
)

// IdleTimer calls a function once nothing has moved for a limit. It needs no goroutine, and
// Touch, which is called for every datagram, takes no lock.
type IdleTimer struct {
	end     func()
	created time.Time
	touched atomic.Int64 // when something last moved, in nanoseconds since created

	mu      sync.Mutex // guards limit and the timer's resets
	limit   time.Duration
	timer   *time.Timer
	stopped bool
}

// NewIdleTimer starts a timer that calls end, on a goroutine of its own, after limit without a
// Touch.
func NewIdleTimer(limit time.Duration, end func()) *IdleTimer {
	t := &IdleTimer{end: end, created: time.Now(), limit: limit}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.timer = time.AfterFunc(limit, t.check)
	return t
}

// Touch says that something moved now.
func (t *IdleTimer) Touch() { t.touched.Store(int64(time.Since(t.created))) }

// SetLimit changes the limit. The new limit counts from the last Touch.
func (t *IdleTimer) SetLimit(limit time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.limit == limit {
		return
	}
	shorter := limit < t.limit
	t.limit = limit
	if shorter && !t.stopped { // a longer limit is found out when the timer fires
		t.timer.Reset(max(t.left(), 0))
	}
}

// Stop ends the timer. A call of end may be under way.
func (t *IdleTimer) Stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stopped = true
	t.timer.Stop()
}

// left is the time until the limit is reached; the caller holds mu.
func (t *IdleTimer) left() time.Duration {
	return t.limit - (time.Since(t.created) - time.Duration(t.touched.Load()))
}

func (t *IdleTimer) check() {
	t.mu.Lock()
	left := t.left()
	if left > 0 && !t.stopped {
		t.timer.Reset(left)
	}
	over := left <= 0 && !t.stopped
	t.mu.Unlock()
	if over {
		t.end()
	}
}
