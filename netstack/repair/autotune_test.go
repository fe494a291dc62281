package repair

import (
	"testing"
	"time"
)

func TestAutotuneGrows(t *testing.T) {
	const rtt = 20 * time.Millisecond
	for _, tt := range []struct {
		took time.Duration
		want int
	}{{rtt, 2 << 20}, {2 * rtt, 2 << 20}, {3 * rtt, 1 << 20}, {0, 2 << 20}} {
		w := Autotune{size: 1 << 20, limit: 8 << 20, bytes: 1 << 19}
		if w.measured(tt.took, rtt); w.size != tt.want {
			t.Errorf("half a buffer in %v at a round trip of %v: %d", tt.took, rtt, w.size)
		}
	}
	w := Autotune{size: 5 << 20, limit: 8 << 20, bytes: 5 << 19}
	if w.measured(0, 0); w.size != 5<<20 {
		t.Errorf("grew to %d without a round trip known", w.size)
	}
	if w.measured(rtt, rtt); w.size != 8<<20 {
		t.Errorf("grew to %d, want the limit", w.size)
	}
	if w.Blocked(); w.measuring {
		t.Error("still measures at the limit")
	}
	// The shortest round trip counts: queues make all later ones longer.
	w = Autotune{size: 1 << 20, limit: 8 << 20, bytes: 1 << 19}
	w.measured(time.Second, rtt)
	if w.measured(10*rtt, 20*rtt); w.size != 1<<20 {
		t.Errorf("grew to %d because of a queue", w.size)
	}
}
