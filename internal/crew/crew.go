// Package crew runs short jobs on a pool of goroutines. A job with deep calls grows its
// goroutine's stack step by step, with a copy each time; a goroutine that has done such
// a job before already has the stack. The package is not for jobs that wait for hours,
// because they would hold on to a large stack.
package crew

import "sync"

// parked is the maximum number of goroutines that wait for a job. They keep their stacks
// until the garbage collector shrinks them.
const parked = 64

// Crew is a set of goroutines. The zero value is ready.
type Crew struct {
	mu      sync.Mutex
	idle    []chan func() // of goroutines without a job, the most recent at the end
	closed  bool
	working sync.WaitGroup
}

// Go runs job on a goroutine of the pool and does not wait. After Close it uses a new
// goroutine.
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
		job = nil // a waiting goroutine must not keep the job's memory alive
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

// Close ends the goroutines; one with a job ends after the job.
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
