package datapath

import (
	"log/slog"
	"testing"
)

func TestMemoryScalesWhatIsReserved(t *testing.T) {
	plain := Config{Logger: slog.New(slog.DiscardHandler)}
	full := plain.stackConfig()
	for _, tt := range []struct {
		memory int64
		factor int // full size over scaled size
	}{{0, 1}, {plenty, 1}, {4 * plenty, 1}, {plenty / 2, 2}} {
		c := plain
		c.Memory = tt.memory
		got := c.stackConfig()
		if got.BufferSize != full.BufferSize/tt.factor || got.QueueBytes != full.QueueBytes/tt.factor || got.Batch != full.Batch/tt.factor ||
			got.MaxReceive != full.MaxReceive/tt.factor || c.paceLimits().Out != plain.paceLimits().Out/tt.factor {
			t.Errorf("memory %d: %+v, %+v; want everything 1/%d of %+v", tt.memory, got, c.paceLimits(), tt.factor, full)
		}
	}
}
