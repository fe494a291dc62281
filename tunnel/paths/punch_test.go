package paths

import (
	"net/netip"
	"testing"
	"time"

	"nexd/internal/natlab"
)

// hops are the limits of the pings among actions, by address.
func hops(actions []Action) map[string]int {
	out := map[string]int{}
	for _, a := range actions {
		if a.Kind == Ping {
			out[a.To.String()] = a.Hops
		}
	}
	return out
}

func TestAPeerBehindANATIsCalledBeforeItIsProbed(t *testing.T) {
	const moment = 10 * time.Millisecond
	for _, tt := range []struct {
		name       string
		candidates []string
		relay      bool
		early      []string
	}{
		{"NAT", []string{lan, wan, wan6}, true, []string{wan}},
		{"no relay", []string{lan, wan}, false, nil},
		{"public", []string{wan, wan6, loop}, true, nil},
		{"two private networks", []string{lan, lan2, loop}, true, []string{lan, lan2}},
		{"a LAN alone", []string{lan, loop, wan6}, true, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			early := map[string]bool{}
			for _, a := range tt.early {
				early[a] = true
			}
			look := func(m *machine, now time.Duration, actions []Action, early map[string]bool) {
				t.Helper()
				for _, c := range tt.candidates {
					got, ok := hops(actions)[c]
					if !ok || (got == punchHops) != early[c] || got != 0 && got != punchHops || m.Premature(now, ap(c)) != early[c] {
						t.Errorf("%s: probed %v, over %d hops, early %v", c, ok, got, m.Premature(now, ap(c)))
					}
				}
			}
			begun := func() *machine {
				m := newMachine(tt.candidates...)
				m.SetRelay(t0, tt.relay)
				out := m.Traffic(t0, 0)
				look(m, t0, out, early)
				if n := count(out, Call); tt.relay && (n != 1 || out[len(out)-1].Kind != Call) || !tt.relay && n != 0 {
					t.Errorf("%d calls, want one, after the probes: %+v", n, out)
				}
				return m
			}

			m := begun() // the peer says that it is ready
			var addrs []netip.AddrPort
			for _, c := range tt.candidates {
				addrs = append(addrs, ap(c))
			}
			out := m.Call(t0+moment, addrs)
			for _, c := range tt.early {
				if h, ok := hops(out)[c]; !ok || h != 0 {
					t.Errorf("after the peer's call %s was probed: %v, over %d hops", c, ok, h)
				}
			}

			m = begun() // it says nothing
			if out := m.Traffic(t0+moment, 0); len(out) != 0 {
				t.Errorf("the next packet causes %+v", out)
			}
			at, ok := m.Next(t0 + moment)
			if !ok || at != t0+rounds[0] {
				t.Fatalf("the next round is due at %v, %v", at-t0, ok)
			}
			look(m, at, m.Tick(at), nil)

			m = begun() // the peer's probe comes in
			for _, c := range tt.early {
				if h, ok := hops(m.Ping(t0+moment, ap(c), TxID{99}))[c]; !ok || h != 0 || m.Premature(t0+moment, ap(c)) {
					t.Errorf("%s, where a probe came from, was probed: %v, over %d hops", c, ok, h)
				}
			}

			m = begun() // the peer is near: it answers the first probe
			for _, c := range tt.early {
				for tx, p := range m.pending {
					if p.to == ap(c) {
						m.Pong(t0+moment, tx)
					}
				}
				if got := m.Path(t0 + moment); !got.Proved {
					t.Errorf("an answer from %s: %+v", c, got)
				}
			}
		})
	}
}

// Boxes forget what is quiet. What is sent after a long pause is like the first.
func TestNATsForgetInALongPause(t *testing.T) {
	internet := natlab.Internet[*host]()
	w := newWorld(t, internet)
	keeping := natlab.Box{Filter: natlab.OnAddrPort, Keeps: true}
	var hosts [2]*host
	for i, lan := range []string{"192.168.1.2:51820", "192.168.2.2:51820"} {
		keeping.Addr = public(i + 1)
		hosts[i] = w.host(lan, internet.Behind(keeping), lan)
	}
	a, b := hosts[0], hosts[1]
	introduce(a, b)
	for _, pause := range []time.Duration{0, time.Minute, 5 * time.Minute, time.Hour} {
		a.idle, b.idle = true, true
		w.run(activeFor+pause, nil)
		if pause > time.Minute {
			a.flush()
			b.flush()
		}
		if got := b.path(); pause == time.Minute && !got.Resting {
			t.Errorf("after a minute the path is %+v", got)
		}
		a.streams = true
		if took := w.run(within, func() bool { return a.path().Proved && b.data > 0 }); took >= within {
			t.Errorf("after a pause of %v: no direct path within %v: %+v", pause, took, a.path())
		}
		w.run(5*time.Second, nil)
		if got := b.path(); !got.Proved {
			t.Errorf("after a pause of %v the other side's path is %+v", pause, got)
		}
		a.streams, b.data = false, 0
	}
}
