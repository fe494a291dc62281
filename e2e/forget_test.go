package e2e

import (
	"sync"
	"syscall"
	"testing"
	"time"
)

// Emptying NAT tables ends no process of anybody.
func TestForgettingEndsNoProcess(t *testing.T) {
	l := newLab(t)
	l.netns("box")
	var procs []*proc
	for range 8 {
		procs = append(procs, l.start("box", "sleeper", nil, "sleep", "60"))
		var tasks sync.WaitGroup
		for range 8 {
			tasks.Go(func() {
				if err := l.forget("box"); err != nil {
					t.Error(err)
				}
			})
		}
		tasks.Wait()
	}
	time.Sleep(100 * time.Millisecond)
	for _, p := range procs {
		select {
		case <-p.done:
			t.Errorf("a process ended: %v", p.err)
		default:
		}
		p.stop(syscall.SIGTERM)
	}
}
