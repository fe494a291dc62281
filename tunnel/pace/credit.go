package pace

import (
	"sync/atomic"
	"time"
)

// leak bounds a wait. It is longer than any packet stays inside WireGuard on a machine that
// is not stalled.
const leak = 5 * time.Millisecond

// credit counts the packets inside WireGuard in one direction.
type credit struct {
	most   int64
	ahead  atomic.Int64
	wake   chan struct{} // holds one token for a waiter
	closed chan struct{}
}

func (c *credit) init(most int, closed chan struct{}) {
	c.most, c.closed = int64(most), closed
	c.wake = make(chan struct{}, 1)
}

// take adds n packets.
func (c *credit) take(n int) { c.ahead.Add(int64(n)) }

// give removes n packets that arrived.
func (c *credit) give(n int) {
	now := c.ahead.Add(-int64(n))
	if now < 0 { // a wait has given them up for lost
		c.ahead.CompareAndSwap(now, 0)
	}
	if now < c.most && now+int64(n) >= c.most {
		c.signal()
	}
}

func (c *credit) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// waiter is one goroutine that waits for credit.
type waiter struct {
	c *credit
	t *time.Timer
}

// wait returns when few enough packets are left, or gives them up for lost.
func (w *waiter) wait() {
	c := w.c
	if c.ahead.Load() < c.most {
		return
	}
	if w.t == nil {
		w.t = time.NewTimer(leak)
	} else {
		w.t.Reset(leak)
	}
	defer w.t.Stop()
	for c.ahead.Load() >= c.most {
		select {
		case <-c.wake:
		case <-w.t.C:
			c.ahead.Store(0)
		case <-c.closed:
			return
		}
	}
	c.signal() // for another waiter
}
