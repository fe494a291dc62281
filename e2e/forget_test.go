package e2e

import (
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"nexd/internal/eventually"
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
	eventually.Stays(t, 100*time.Millisecond, "every process runs", func() bool {
		return !slices.ContainsFunc(procs, func(p *proc) bool { return p.over() })
	})
	for _, p := range procs {
		p.stop(syscall.SIGTERM)
	}
}
