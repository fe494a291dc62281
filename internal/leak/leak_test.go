package leak

import (
	"strings"
	"testing"
	"time"
)

func lingering(release chan struct{}) { <-release }

func TestSeesALeakAndItsEnd(t *testing.T) {
	before := map[string]bool{}
	for id := range stacks() {
		before[id] = true
	}
	release := make(chan struct{})
	go lingering(release)
	if left := wait(before, 50*time.Millisecond); !strings.Contains(left, "lingering") {
		t.Errorf("a running goroutine was not reported, got %q", left)
	}
	close(release)
	if left := wait(before, grace); left != "" {
		t.Errorf("an ended goroutine is reported:\n%s", left)
	}
}
