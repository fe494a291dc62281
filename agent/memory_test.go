package agent

import (
	"log/slog"
	"runtime"
	"testing"

	"nexd/mesh"
)

func TestTooSmallAMemoryLimitIsRefused(t *testing.T) {
	c := Config{MemoryLimit: MinMemoryLimit - 1}
	if err := c.setMemory(); mesh.KindOf(err) != mesh.Invalid {
		t.Errorf("too small a limit: %v", err)
	}
}

// A node that moved much and is idle again gives memory back; one that is busy
// does not stop for it.
func TestIdleNodeGivesMemoryBack(t *testing.T) {
	var received uint64
	m := &memory{received: func() uint64 { return received }, log: slog.New(slog.DiscardHandler)}
	m.look()
	work := make([][]byte, 64)
	for i := range work {
		work[i] = make([]byte, 1<<20)
		for at := 0; at < len(work[i]); at += 4096 {
			work[i][at] = 1
		}
	}
	runtime.KeepAlive(work)
	full := memoryHeld()
	work = nil
	received += 1_000_000
	m.look()
	if now := memoryHeld(); now < full-32<<20 {
		t.Errorf("a busy node gave memory back: %d, was %d", now, full)
	}
	m.look()
	if now := memoryHeld(); now > full-32<<20 {
		t.Errorf("an idle node holds %d MiB, held %d MiB while it worked", now>>20, full>>20)
	}
}
