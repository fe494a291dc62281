// Package leak fails a test that leaves goroutines of this module, of gVisor or of
// WireGuard running.
package leak

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

// grace is the time that goroutines get to end after they were told to.
const grace = 5 * time.Second

// watched are the packages whose goroutines must end. Goroutines of the runtime and of
// package testing start and end at any time.
var watched = []string{"nexd/", "gvisor.dev/gvisor/pkg/tcpip", "golang.zx2c4.com/wireguard/"}

// Check records the running goroutines. At the end of the test it fails the test if
// other goroutines are still running after a few seconds. Call it first, so it runs after
// every other clean-up. Tests that use it cannot be parallel.
func Check(t testing.TB) {
	t.Helper()
	before := map[string]bool{}
	for id := range stacks() {
		before[id] = true
	}
	t.Cleanup(func() {
		t.Helper()
		if t.Failed() {
			return // the first failure has the better message
		}
		if left := wait(before, grace); left != "" {
			t.Errorf("leak: goroutines left behind:\n%s", left)
		}
	})
}

func wait(before map[string]bool, limit time.Duration) string {
	for deadline := time.Now().Add(limit); ; time.Sleep(10 * time.Millisecond) {
		var left strings.Builder
		for id, stack := range stacks() {
			if !before[id] {
				fmt.Fprintf(&left, "%s\n\n", stack)
			}
		}
		if left.Len() == 0 || time.Now().After(deadline) {
			return left.String()
		}
	}
}

// stacks returns the watched goroutines by id, without the caller's own.
func stacks() map[string]string {
	buf := make([]byte, 1<<20)
	for {
		n := runtime.Stack(buf, true)
		if n < len(buf) {
			buf = buf[:n]
			break
		}
		buf = make([]byte, 2*len(buf))
	}
	found := map[string]string{}
	for i, stack := range strings.Split(string(buf), "\n\n") {
		if i == 0 { // this goroutine
			continue
		}
		head, body, _ := strings.Cut(stack, "\n")
		for _, pkg := range watched {
			if strings.Contains(body, pkg) {
				found[strings.Fields(head)[1]] = stack
				break
			}
		}
	}
	return found
}
