package agent

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"

	"nexd/internal/budget"
	"nexd/internal/periodic"
	"nexd/mesh"
)

// MinMemoryLimit is the least Config.MemoryLimit: what an idle node needs is half
// of it.
const MinMemoryLimit = 48 << 20

// When a node counts as idle, and how much memory is worth a release.
const (
	memoryEvery  = 2 * time.Second
	quietPackets = 200     // from peers between two checks
	worthwhile   = 4 << 20 // bytes more than after the last time
)

// How often a limit is checked, and the parts of it that may be in use. Between the two marks nothing
// changes.
const (
	measureEvery  = 200 * time.Millisecond
	tightPercent  = 75
	easyPercent   = 65
	forgets       = 12 * time.Second // how long TCP remembers ended connections, and more (TIME_WAIT of netstack)
	refusalsEvery = time.Minute      // between two log lines; the health line stays as long
)

// programBytes is the part of the process that the Go runtime does not count: the program itself and
// what it maps.
const programBytes = 16 << 20

// idleBytes is what a node needs before its first connection, with the buffers of WireGuard.
const idleBytes = 40 << 20

// planned is the part of the memory limit that connections may take by their estimated costs; 0
// means no limit. An eighth of what is left remains for data on its way.
func (c *Config) planned() int64 {
	if c.MemoryLimit == 0 {
		return 0
	}
	return max(c.MemoryLimit-idleBytes, 1) / 8 * 7
}

// setMemory sets the runtime's memory limit. GOMEMLIMIT in the environment takes precedence.
func (c *Config) setMemory() error {
	if c.MemoryLimit != 0 && c.MemoryLimit < MinMemoryLimit {
		return mesh.Errorf(mesh.Invalid, "agent: memory limit %d is less than %d bytes", c.MemoryLimit, MinMemoryLimit)
	}
	if c.MemoryLimit != 0 && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(c.MemoryLimit - programBytes)
	}
	return nil
}

// memory keeps the process under its limit, and returns memory that the node does not need any more
// to the system.
type memory struct {
	received func() uint64  // packets from peers, ever
	budget   *budget.Budget // of connections
	limit    int64          // 0: none
	log      *slog.Logger

	before uint64    // received at the last check
	kept   uint64    // bytes held after the last release
	held   int64     // of the budget at the last check
	peak   int64     // of the budget since the last release
	again  time.Time // when to release once more: what TCP remembers of ended connections is gone then

	mu      sync.Mutex
	refused uint64    // at the last measurement
	since   time.Time // of the first refusal of those that the health line tells of; zero: none
	logged  time.Time
}

func newMemory(cfg Config, received func() uint64) *memory {
	return &memory{received: received, budget: cfg.Budget, limit: cfg.MemoryLimit, log: cfg.Logger}
}

// run checks every few seconds, and measures more often if there is a limit, until ctx ends.
func (m *memory) run(ctx context.Context) error {
	if m.limit != 0 {
		var measuring sync.WaitGroup
		defer measuring.Wait()
		measuring.Go(func() { periodic.Run(ctx, measureEvery, func() error { m.measure(memoryUsed()); return nil }) })
	}
	return periodic.Run(ctx, memoryEvery, func() error { m.look(); return nil })
}

// look releases memory if the node was idle since the last check, and once after many connections
// have ended. The collector halves the stacks of waiting goroutines each time it runs, and an idle
// connection mostly consists of two stacks, so it runs twice.
func (m *memory) look() {
	now, open := m.received(), m.budget.Held()
	moved := now - m.before
	ending := open < m.held-worthwhile // many more will end at once
	m.before, m.held, m.peak = now, open, max(m.peak, open)
	ended := m.peak-open >= 2*worthwhile && !ending
	due := !m.again.IsZero() && time.Now().After(m.again)
	held := memoryHeld()
	idle := moved <= quietPackets && held >= m.kept+worthwhile
	if ending || !idle && !ended && !due {
		return
	}
	debug.FreeOSMemory()
	debug.FreeOSMemory()
	m.kept, m.peak, m.again = memoryHeld(), open, time.Time{}
	if !due && held > m.kept+worthwhile {
		m.again = time.Now().Add(forgets)
	}
	m.log.Debug("memory given back", "before", held, "after", m.kept)
}

// measure compares the memory in use with the limit. Above the mark, little is left for garbage: the
// collector would run all the time, and nothing may be admitted. It also logs refusals.
func (m *memory) measure(used uint64) {
	room := uint64(m.limit - programBytes)
	switch {
	case used > room/100*tightPercent:
		m.budget.SetTight(true)
	case used < room/100*easyPercent:
		m.budget.SetTight(false)
	}
	refused, last := m.budget.Refused()
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case refused != m.refused:
		if m.since.IsZero() {
			m.since = last
		}
		if time.Since(m.logged) >= refusalsEvery {
			m.logged = time.Now()
			m.log.Warn("the memory limit is reached; new connections are refused",
				"limit", m.limit, "used", used, "connections", m.budget.Held(), "refused", refused)
		}
		m.refused = refused
	case time.Since(last) > refusalsEvery:
		m.since = time.Time{}
	}
}

// problem says that the limit is reached; ok is false while it is not.
func (m *memory) problem() (_ mesh.Problem, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return mesh.Problem{Code: "memory-limit", What: fmt.Sprintf("the memory limit of %d MiB is reached", m.limit>>20), Since: m.since,
		Why: fmt.Sprintf("new connections are refused, %d so far", m.refused), WayOut: "close connections or raise --memory-limit"}, !m.since.IsZero()
}

// memoryUsed returns how much memory is in use, without garbage and free memory: the objects that
// the last collection found, stacks, and what the runtime needs itself.
func memoryUsed() (used uint64) {
	s := []metrics.Sample{
		{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}, {Name: "/memory/classes/metadata/mspan/inuse:bytes"},
		{Name: "/memory/classes/metadata/other:bytes"}, {Name: "/memory/classes/os-stacks:bytes"}, {Name: "/memory/classes/other:bytes"},
	}
	metrics.Read(s)
	for i := range s {
		used += s[i].Value.Uint64()
	}
	return used
}

// memoryHeld returns how much memory this process has from the system.
func memoryHeld() uint64 {
	s := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64() - s[1].Value.Uint64()
}
