package paths

import (
	"testing"
	"time"
)

func TestKnownSaysHowEachAddressFares(t *testing.T) {
	m := newMachine(lan, wan, wan6)
	for _, k := range m.Known(t0) {
		if k.State != StateUntried {
			t.Errorf("at rest: %+v", k)
		}
	}
	ask := pinged(m.Traffic(t0, 0))
	m.Pong(t0+3*time.Millisecond, ask[lan])
	m.Pong(t0+40*time.Millisecond, ask[wan])
	want := map[string]Known{
		lan:  {State: StateUsed, RTT: 3 * time.Millisecond, Since: t0 + 3*time.Millisecond},
		wan:  {State: StateAnswers, RTT: 40 * time.Millisecond, Since: t0 + 40*time.Millisecond},
		wan6: {State: StateSilent, Since: t0},
	}
	got := m.Known(t0 + time.Second)
	if len(got) != len(want) {
		t.Errorf("%d addresses, want %d", len(got), len(want))
	}
	for _, k := range got {
		w := want[k.Addr.String()]
		if w.Addr = k.Addr; k != w {
			t.Errorf("got  %+v\nwant %+v", k, w)
		}
	}
}
