package crew_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"nexd/internal/crew"
	"nexd/internal/leak"
)

func TestEveryJobRunsAndCloseWaits(t *testing.T) {
	leak.Check(t)
	var c crew.Crew
	var done atomic.Int32
	for range 1000 {
		c.Go(func() { done.Add(1) })
	}
	c.Close()
	c.Wait()
	if n := done.Load(); n != 1000 {
		t.Errorf("%d of 1000 jobs were done when Wait returned", n)
	}
}

// Jobs that wait for each other would never end if one stood in another's way.
func TestJobsDoNotWaitForEachOther(t *testing.T) {
	leak.Check(t)
	var c crew.Crew
	defer c.Close()
	const n = 200
	for range 3 {
		var all, met sync.WaitGroup
		all.Add(n)
		for range n {
			met.Add(1)
			c.Go(func() { defer met.Done(); all.Done(); all.Wait() })
		}
		met.Wait()
	}
}

func TestGoAfterClose(t *testing.T) {
	leak.Check(t)
	var c crew.Crew
	c.Close()
	done := make(chan struct{})
	c.Go(func() { close(done) })
	<-done
	c.Wait()
}

func Example() {
	var c crew.Crew
	answer := make(chan string)
	c.Go(func() { answer <- "done" })
	fmt.Println(<-answer)
	c.Close()
	// Output: done
}

// deep needs some 16 KiB of stack.
//
//go:noinline
func deep(n int) (sum int) {
	var b [512]byte
	b[n%len(b)] = byte(n)
	if n == 0 {
		return int(b[0])
	}
	return deep(n-1) + int(b[n%len(b)])
}

func BenchmarkDeepJobs(b *testing.B) {
	for _, how := range []string{"go", "crew"} {
		b.Run(how, func(b *testing.B) {
			var c crew.Crew
			defer c.Close()
			done := make(chan struct{})
			job := func() { deep(30); done <- struct{}{} }
			for b.Loop() {
				if how == "go" {
					go job()
				} else {
					c.Go(job)
				}
				<-done
			}
		})
	}
}
