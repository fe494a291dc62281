package paths

import (
	"net/netip"
	"slices"
	"testing"
	"time"
)

// places are addresses in words.
func places(addrs []netip.AddrPort) (out []string) {
	for _, a := range addrs {
		out = append(out, a.String())
	}
	return out
}

// initiated are the addresses of the initiations among actions; "relay" stands for the
// relay.
func initiated(actions []Action) (out []string) {
	for _, a := range actions {
		switch {
		case a.Kind != Initiate:
		case a.To.IsValid():
			out = append(out, a.To.String())
		default:
			out = append(out, "relay")
		}
	}
	return out
}

func TestWhereInitiationsGo(t *testing.T) {
	const c1, c2, src = "10.0.0.1:1", "10.0.0.2:1", "192.0.2.1:77"
	const second = time.Second
	at := func(n int) time.Duration { return t0 + time.Duration(n)*second }
	for _, tt := range []struct {
		name             string
		source           string
		heard, initiated time.Duration // moments; 0 = never
		want             []string
	}{
		{"nothing known of the peer", "", 0, 0, []string{c1, c2}},
		{"heard just now", src, at(100), 0, []string{src}},
		{"heard since the last initiation", src, at(99), at(98), []string{src}},
		{"last initiation unanswered", src, at(94), at(95), []string{c1, c2, src}},
		{"last initiation unanswered and long ago", src, at(9), at(10), []string{src, c1, c2}},
		{"silent for long", src, at(60), 0, []string{src, c1, c2}},
		{"never heard, or WireGuard forgot the source", src, 0, 0, []string{src, c1, c2}},
		{"silent source that is a candidate", c2, at(60), 0, []string{c2, c1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMachine(c1, c2)
			if tt.source != "" {
				m.Moved(t0, ap(tt.source))
			}
			m.handshake.initiated = tt.initiated
			plan, _ := m.Initiate(at(100), tt.heard, tt.heard)
			if got := places(plan.To); !slices.Equal(got, tt.want) || plan.Relay || len(plan.Later) != 0 {
				t.Errorf("goes to %+v, want %v", plan, tt.want)
			}
			m.SetRelay(at(100), true)
			if plan, _ := m.Initiate(at(200), 0, 0); !plan.Relay {
				t.Errorf("does not go through the relay, too: %+v", plan)
			}
		})
	}
}

func TestAnInitiationTakesAProvedPath(t *testing.T) {
	m := newMachine(lan, wan)
	m.SetRelay(t0, true)
	m.Pong(t0+1, pinged(m.Traffic(t0, 0))[lan])
	now := t0 + time.Second
	if plan, _ := m.Initiate(now, 0, 0); !slices.Equal(places(plan.To), []string{lan}) || plan.Relay {
		t.Errorf("the first goes to %+v", plan)
	}
	for _, tx := range pinged(m.Traffic(now+4*time.Second, now)) {
		m.Pong(now+4*time.Second, tx)
	}
	now += InitiationLife
	if plan, _ := m.Initiate(now, 0, 0); !m.Path(now).Proved || len(plan.To) != 2 || !plan.Relay {
		t.Errorf("the second, after no answer, goes to %+v; the path is %+v", plan, m.Path(now))
	}
}

// After the peer was heard through the relay, its direct source proves nothing.
func TestASourceBeforeTheRelayIsNotFresh(t *testing.T) {
	m := newMachine(wan)
	m.SetRelay(t0, true)
	m.Moved(t0, ap("198.51.100.1:1"))
	m.MovedToRelay(t0 + time.Second)
	if plan, _ := m.Initiate(t0+2*time.Second, t0+time.Second, t0+time.Second); len(plan.To) != 2 || !plan.Relay {
		t.Errorf("goes to %+v", plan)
	}
}

func TestEveryPlaceComesFirstOnce(t *testing.T) {
	m := newMachine("10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1")
	first := map[netip.AddrPort]int{}
	for i := range 6 {
		plan, _ := m.Initiate(t0+time.Duration(i)*InitiationLife, 0, 0)
		if len(plan.To) != 3 {
			t.Fatalf("goes to %+v", plan)
		}
		first[plan.To[0]]++
	}
	if len(first) != 3 {
		t.Errorf("first was %v", first)
	}
}

func TestNewCandidatesGetTheInitiationThatWaits(t *testing.T) {
	const c1, c2 = "10.0.0.1:1", "10.0.0.2:1"
	both := []netip.AddrPort{ap(c1), ap(c2)}
	for _, tt := range []struct {
		name  string
		after time.Duration
		want  []string
	}{
		{"waiting", 2 * time.Second, []string{c2}},
		{"too old", 6 * time.Second, nil},
	} {
		m := newMachine(c1)
		m.Initiate(t0, 0, 0)
		if got := initiated(m.SetCandidates(t0+tt.after, both)); !slices.Equal(got, tt.want) {
			t.Errorf("%s: goes to %v, want %v", tt.name, got, tt.want)
		}
		if len(m.candidates) != 2 {
			t.Errorf("%s: candidates not set", tt.name)
		}
	}
	m := newMachine(c1)
	if out := m.SetCandidates(t0, both); len(out) != 0 || !m.AtRest() {
		t.Errorf("a peer at rest is sent %+v", out)
	}
}

func TestARelayThatComesGetsTheInitiationThatWaits(t *testing.T) {
	for after, want := range map[time.Duration][]string{time.Second: {"relay"}, 6 * time.Second: nil} {
		m := newMachine()
		m.Initiate(t0, 0, 0)
		if got := initiated(m.SetRelay(t0+after, true)); !slices.Equal(got, want) {
			t.Errorf("after %v it goes to %v, want %v", after, got, want)
		}
		if got := initiated(m.SetRelay(t0+after, true)); got != nil {
			t.Errorf("and again to %v", got)
		}
	}
}

// An initiation that could reach the peer's NAT too early goes there with the first
// probe that may.
func TestAPostponedInitiationFollowsTheProbe(t *testing.T) {
	m := newMachine(lan, wan)
	m.SetRelay(t0, true)
	plan, _ := m.Initiate(t0, 0, 0)
	if !slices.Equal(places(plan.To), []string{lan}) || !slices.Equal(places(plan.Later), []string{wan}) || !plan.Relay {
		t.Fatalf("%+v", plan)
	}
	m.Postpone(plan.Later)
	out := m.Call(t0+10*time.Millisecond, []netip.AddrPort{ap(lan), ap(wan)})
	if got := initiated(out); !slices.Equal(got, []string{wan}) {
		t.Errorf("the peer called: the initiation goes to %v; %+v", got, out)
	}
	if got := initiated(m.Tick(t0 + 310*time.Millisecond)); got != nil {
		t.Errorf("and again to %v", got)
	}
}

func TestALostResponseIsNoticed(t *testing.T) {
	m := newMachine()
	if m.Respond(t0) || !m.Respond(t0+5*time.Second) || m.Respond(t0+time.Minute) {
		t.Error("a response is lost if another follows within 10 s")
	}
}

func TestRestKeepsCandidatesAndSource(t *testing.T) {
	m := newMachine(lan, wan)
	m.SetRelay(t0, true)
	m.Moved(t0, ap(wan6))
	m.Initiate(t0, 0, 0)
	m.Rest()
	if !m.AtRest() || m.candidates != nil || m.pending != nil || m.handshake.initiated != 0 {
		t.Errorf("something is left: %+v", m.Peer)
	}
	if got := m.Path(t0); got.Direct != ap(wan6) || got.Relay {
		t.Errorf("where it was is forgotten: %+v", got)
	}
	for _, out := range [][]Action{m.Tick(t0), m.SetRelay(t0, false), m.SetRelay(t0, true), m.NetworkChanged(t0), m.Renew(t0)} {
		if len(out) != 0 || !m.AtRest() {
			t.Errorf("a peer at rest is sent %+v", out)
		}
	}
	if out := pinged(m.Traffic(t0+time.Hour, 0)); len(out) != 3 {
		t.Errorf("traffic has %v probed", out)
	}
	m.MovedToRelay(t0 + time.Hour)
	m.Rest()
	if got := m.Path(t0 + time.Hour); got.Direct.IsValid() || got.Relay {
		t.Errorf("a direct source before the relay counts: %+v", got)
	}
}
