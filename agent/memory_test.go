package agent

import (
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nexd/internal/budget"
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

// Nothing is admitted while the process uses too much of its limit. The refusals are in the log once
// a minute, and in the status until a minute after the last one.
func TestMemoryLimitIsKeptByRefusing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines strings.Builder
		cfg := Config{MemoryLimit: 64 << 20}
		cfg.Logger, cfg.Budget = slog.New(slog.NewTextHandler(&lines, nil)), budget.New(cfg.planned())
		m := newMemory(cfg, func() uint64 { return 0 })
		admitted := func() (n int) {
			for cfg.Budget.Take(budget.TCP) {
				n++
			}
			cfg.Budget.Give(int64(n) * budget.TCP)
			return n
		}
		m.measure(20 << 20)
		if line, ok := m.problem(); ok {
			t.Errorf("before a refusal: %q", line)
		}
		all := admitted()
		if all < 500 || all > 1500 {
			t.Errorf("%d connections within 64 MiB", all)
		}
		for range 10 {
			m.measure(40 << 20)
			if n := admitted(); n > all/4 {
				t.Errorf("%d of %d are admitted although memory is tight", n, all)
			}
		}
		m.measure(20 << 20)
		if n := admitted(); n != all {
			t.Errorf("%d are admitted after memory has become free, want %d", n, all)
		}
		m.measure(20 << 20)
		if line, ok := m.problem(); !ok || !strings.Contains(line.String(), "limit of 64 MiB") || !strings.Contains(line.String(), "--memory-limit") {
			t.Errorf("health line %q", line)
		}
		if n := strings.Count(lines.String(), "memory limit"); n != 1 {
			t.Errorf("%d log lines:\n%s", n, &lines)
		}
		time.Sleep(2 * time.Minute)
		m.measure(20 << 20)
		if line, ok := m.problem(); ok {
			t.Errorf("two minutes later: %q", line)
		}
	})
}

// After many connections have ended, memory is given back although the node is busy.
func TestMemoryOfManyEndedConnectionsIsGivenBack(t *testing.T) {
	var received uint64
	cfg := Config{}
	cfg.Logger, cfg.Budget = slog.New(slog.DiscardHandler), budget.New(0)
	m := newMemory(cfg, func() uint64 { received += 1_000_000; return received })
	m.look()
	cfg.Budget.Take(1000 * budget.TCP)
	work := make([][]byte, 64)
	for i := range work {
		work[i] = make([]byte, 1<<20)
		for at := 0; at < len(work[i]); at += 4096 {
			work[i][at] = 1
		}
	}
	runtime.KeepAlive(work)
	m.look()
	full := memoryHeld()
	work = nil
	cfg.Budget.Give(1000 * budget.TCP)
	m.look() // more may end in this moment
	if now := memoryHeld(); now < full-32<<20 {
		t.Errorf("memory was given back while connections were ending: %d, was %d", now, full)
	}
	m.look()
	if now := memoryHeld(); now > full-32<<20 {
		t.Errorf("a node without connections holds %d MiB, held %d MiB with 1,000", now>>20, full>>20)
	}
}
