// Package crew runs short jobs on goroutines that are kept for the next job. A job
// with deep calls makes its goroutine's stack grow, step by step, each time with a
// copy; on a goroutine that has done such a job already the stack is there. It is
// not for jobs that wait for hours: those would keep their large stack.
package crew

import "sync"

// parked is how many goroutines wait for a job at most. They hold their stacks
// until the garbage collector shrinks them.
const parked = 64

// Crew is a set of goroutines. The zero value is ready.
type Crew struct {
	mu      sync.Mutex
	idle    []chan func() // of goroutines without a job, the last to become so at the end
	closed  bool
	working sync.WaitGroup
}

// Go runs job on a goroutine and does not wait. After Close that is one of its own.
func (c *Crew) Go(job func()) {
	c.mu.Lock()
	if n := len(c.idle); n > 0 {
		next := c.idle[n-1]
		c.idle = c.idle[:n-1]
		c.mu.Unlock()
		next <- job
		return
	}
	if c.closed {
		c.mu.Unlock()
		go job()
		return
	}
	c.working.Add(1)
	c.mu.Unlock()
	go c.work(job)
}

func (c *Crew) work(job func()) {
	defer c.working.Done()
	next := make(chan func(), 1)
	for ; job != nil; job = <-next {
		job()
		job = nil // what it holds on to must not live while this goroutine waits
		if !c.park(next) {
			return
		}
	}
}

func (c *Crew) park(next chan func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || len(c.idle) == parked {
		return false
	}
	c.idle = append(c.idle, next)
	return true
}

// Close ends the goroutines, those with a job when it is done.
func (c *Crew) Close() {
	c.mu.Lock()
	c.closed = true
	for _, next := range c.idle {
		close(next)
	}
	c.idle = nil
	c.mu.Unlock()
}

// Wait returns when all goroutines have ended, after Close.
func (c *Crew) Wait() { c.working.Wait() }
