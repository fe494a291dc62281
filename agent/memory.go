package agent

import (
	"context"
	"log/slog"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"

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

// setMemory sets the runtime's memory limit. GOMEMLIMIT in the environment takes precedence.
func (c *Config) setMemory() error {
	if c.MemoryLimit != 0 && c.MemoryLimit < MinMemoryLimit {
		return mesh.Errorf(mesh.Invalid, "agent: memory limit %d is less than %d bytes", c.MemoryLimit, MinMemoryLimit)
	}
	if c.MemoryLimit != 0 && os.Getenv("GOMEMLIMIT") == "" {
		// The runtime does not count the program itself and what it maps.
		debug.SetMemoryLimit(c.MemoryLimit - 16<<20)
	}
	return nil
}

// memory returns memory that an idle node does not need to the system.
type memory struct {
	received func() uint64 // packets from peers, ever
	log      *slog.Logger

	before uint64 // received at the last check
	kept   uint64 // bytes held after the last release
}

// run checks every few seconds until ctx ends.
func (m *memory) run(ctx context.Context) error {
	return periodic.Run(ctx, memoryEvery, func() error { m.look(); return nil })
}

// look releases memory if the node was idle since the last check. The collector halves the stacks
// of waiting goroutines each time it runs, and an idle connection mostly consists of two stacks, so
// it runs twice.
func (m *memory) look() {
	now := m.received()
	moved := now - m.before
	m.before = now
	held := memoryHeld()
	if moved > quietPackets || held < m.kept+worthwhile {
		return
	}
	debug.FreeOSMemory()
	debug.FreeOSMemory()
	m.kept = memoryHeld()
	m.log.Debug("memory given back", "before", held, "after", m.kept)
}

// memoryHeld returns how much memory this process has from the system.
func memoryHeld() uint64 {
	s := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64() - s[1].Value.Uint64()
}
