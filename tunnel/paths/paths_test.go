package paths

import (
	"net/netip"
	"testing"
	"time"
)

const t0 = time.Hour

// machine is a Peer whose actions a test looks at.
type machine struct {
	*Peer
	n byte
}

func newMachine(candidates ...string) *machine {
	m := &machine{}
	m.Peer = New(func() (id TxID) { m.n++; id[0] = m.n; return id })
	var addrs []netip.AddrPort
	for _, c := range candidates {
		addrs = append(addrs, ap(c))
	}
	m.SetCandidates(t0, addrs)
	return m
}

// pinged are the transactions of the pings among actions, by address.
func pinged(actions []Action) map[string]TxID {
	out := map[string]TxID{}
	for _, a := range actions {
		if a.Kind == Ping {
			out[a.To.String()] = a.Tx
		}
	}
	return out
}

func count(actions []Action, k Kind) (n int) {
	for _, a := range actions {
		if a.Kind == k {
			n++
		}
	}
	return n
}

const (
	lan  = "192.168.1.5:51820"
	lan2 = "10.1.1.5:51820"
	wan  = "203.0.113.7:51820"
	wan6 = "[2001:db8::7]:51820"
	loop = "127.0.0.1:51820"
)

func TestOnlyOurOwnAnsweredProbeSelectsAPath(t *testing.T) {
	m := newMachine(wan)
	m.SetRelay(t0, true)
	ask := m.Traffic(t0, 0)
	if got := m.Path(t0); got.Direct.IsValid() || !got.Relay {
		t.Fatalf("before any answer: %+v", got)
	}
	m.Ping(t0, ap("198.51.100.66:1"), TxID{99})
	if got := m.Path(t0); got.Direct.IsValid() {
		t.Errorf("a probe of the peer's made its source the path: %+v", got)
	}
	m.Call(t0, []netip.AddrPort{ap("198.51.100.67:1")})
	if got := m.Path(t0); got.Direct.IsValid() {
		t.Errorf("a call made the path %+v", got)
	}
	if _, ok := m.Pong(t0, TxID{200}); ok || m.Path(t0).Direct.IsValid() {
		t.Errorf("a pong nobody asked for counted")
	}
	tx := pinged(ask)[wan]
	if _, ok := m.Pong(t0+20*time.Millisecond, tx); !ok {
		t.Fatal("the pong was not taken")
	}
	if got := m.Path(t0 + 20*time.Millisecond); got.Direct != ap(wan) || got.Relay || !got.Proved || got.RTT != 20*time.Millisecond {
		t.Errorf("after the pong: %+v", got)
	}
	if _, ok := m.Pong(t0+30*time.Millisecond, tx); ok {
		t.Error("the same pong was taken twice")
	}
	m.Moved(t0+time.Second, ap("198.51.100.66:1"))
	if got := m.Path(t0 + time.Second); got.Direct != ap(wan) {
		t.Errorf("a data packet from elsewhere moved the path: %+v", got)
	}
}

func TestALatePongDoesNotCount(t *testing.T) {
	m := newMachine(wan)
	tx := pinged(m.Traffic(t0, 0))[wan]
	if _, ok := m.Pong(t0+pendingFor+1, tx); ok {
		t.Error("taken")
	}
}

func TestPreference(t *testing.T) {
	all := []string{loop, lan, wan6, wan}
	for i, want := range all {
		m := newMachine(all[i:]...)
		ask := pinged(m.Traffic(t0, 0))
		if len(ask) != len(all)-i {
			t.Fatalf("probed at first: %v", ask)
		}
		for j := len(all) - 1; j >= i; j-- { // the better, the later, and a little slower
			m.Pong(t0+10*time.Millisecond+time.Duration(len(all)-j)*time.Millisecond/2, ask[all[j]])
		}
		if got := m.Path(t0 + 50*time.Millisecond).Direct; got != ap(want) {
			t.Errorf("of %v it is %v", all[i:], got)
		}
	}
}

func TestEqualsAreLeftOnlyForMuchBetter(t *testing.T) {
	for _, tt := range []struct {
		first, second time.Duration
		moved         bool
	}{
		{20 * time.Millisecond, 19 * time.Millisecond, false},
		{20 * time.Millisecond, 17 * time.Millisecond, true},
		{2 * time.Millisecond, 1500 * time.Microsecond, false},
		{200 * time.Millisecond, 185 * time.Millisecond, false},
	} {
		m := newMachine(lan)
		m.Pong(t0+tt.first, pinged(m.Traffic(t0, 0))[lan])
		m.SetCandidates(t0+tt.first, []netip.AddrPort{ap(lan), ap(lan2)})
		now := t0 + time.Second
		tx := pinged(m.Call(now, []netip.AddrPort{ap(lan2)}))[lan2]
		m.Pong(now+tt.second, tx)
		if got := m.Path(now+tt.second).Direct == ap(lan2); got != tt.moved {
			t.Errorf("%v after %v: moved %v", tt.second, tt.first, got)
		}
	}
}

// A private address may be that of another VPN, through a hub far away.
func TestTheRoundTripDecidesBetweenClasses(t *testing.T) {
	ms := time.Millisecond
	for _, tt := range []struct {
		private, public time.Duration
		want            string
	}{
		{150 * ms, 5 * ms, wan},
		{13 * ms, 5 * ms, wan},
		{7 * ms, 5 * ms, lan},
		{105 * ms, 100 * ms, lan},
		{130 * ms, 100 * ms, wan},
		{5 * ms, 150 * ms, lan},
	} {
		for _, first := range []string{lan, wan} {
			m := newMachine(lan, wan)
			now := t0
			ask := pinged(m.Traffic(now, 0))
			rtt := map[string]time.Duration{lan: tt.private, wan: tt.public}
			second := lan
			if first == lan {
				second = wan
			}
			m.Pong(now+rtt[first], ask[first]) // the clock of a test may go back
			m.Pong(now+rtt[second], ask[second])
			if got := m.Path(now + 200*ms).Direct; got != ap(tt.want) {
				t.Errorf("private %v, public %v, %s first: %v", tt.private, tt.public, first, got)
			}
		}
	}
}

// The better path of two classes is found again after it was away, and is not left again.
func TestASlowPrivatePathIsLeftForAFastPublicOne(t *testing.T) {
	m := newMachine(lan, wan)
	rtt := map[string]time.Duration{lan: 150 * time.Millisecond}
	var answer func(now time.Duration, actions []Action)
	answer = func(now time.Duration, actions []Action) {
		for to, tx := range pinged(actions) {
			if d, up := rtt[to]; up {
				more, _ := m.Pong(now+d, tx)
				answer(now+d, more)
			}
		}
	}
	now := t0
	run := func(length time.Duration) {
		for end := now + length; now < end; now += 200 * time.Millisecond {
			answer(now, m.Traffic(now, now))
		}
	}
	run(10 * time.Second)
	if got := m.Path(now).Direct; got != ap(lan) {
		t.Fatalf("with the private address alone: %v", got)
	}
	rtt[wan] = 5 * time.Millisecond
	run(2 * betterEvery)
	if got := m.Path(now).Direct; got != ap(wan) {
		t.Fatalf("the fast address is back: %v", got)
	}
	run(3 * betterEvery)
	if got := m.Path(now).Direct; got != ap(wan) {
		t.Fatalf("the fast address was left for %v", got)
	}
}

func TestAPeerThatCannotProbeKeepsItsSource(t *testing.T) {
	m := newMachine(wan)
	m.SetRelay(t0, true)
	m.Traffic(t0, 0)
	m.Moved(t0, ap(wan))
	if got := m.Path(t0 + time.Second); got.Direct != ap(wan) || !got.Relay {
		t.Errorf("at first: %+v", got)
	}
	sent := 0
	for now := t0; now < t0+10*time.Minute; now += 250 * time.Millisecond {
		sent += len(m.Traffic(now, now))
		if got := m.Path(now); now > t0+strangerAfter && (got.Direct != ap(wan) || got.Relay) {
			t.Fatalf("after %v: %+v", now-t0, got)
		}
	}
	if sent > 60 {
		t.Errorf("%d packets in ten minutes to a peer that does not understand them", sent)
	}
	m.Moved(t0+10*time.Minute, ap("198.51.100.9:5"))
	if got := m.Path(t0 + 10*time.Minute); got.Direct != ap("198.51.100.9:5") {
		t.Errorf("roamed: %+v", got)
	}
}

// The peer's packets come directly, ours do not arrive: only the relay works.
func TestAOneWayPathIsGivenUp(t *testing.T) {
	m := newMachine(wan)
	m.SetRelay(t0, true)
	m.Moved(t0, ap(wan))
	for now := t0; now < t0+20*time.Second; now += 250 * time.Millisecond {
		m.Traffic(now, now)
		m.Ping(now, ap(wan), TxID{})
		if got := m.Path(now); !got.Relay || got.Proved {
			t.Fatalf("after %v: %+v", now-t0, got)
		}
	}
	if got := m.Path(t0 + 20*time.Second); got.Direct.IsValid() {
		t.Errorf("in the end: %+v", got)
	}
}

func TestABlackHoleIsFoundWithinThreeSeconds(t *testing.T) {
	m := newMachine(wan)
	m.SetRelay(t0, true)
	now := t0
	m.Pong(now+10*time.Millisecond, pinged(m.Traffic(now, now))[wan])
	for ; now < t0+10*time.Second; now += 50 * time.Millisecond {
		for _, tx := range pinged(m.Traffic(now, now)) {
			m.Pong(now, tx)
		}
	}
	last := now
	for ; m.Path(now).Proved; now += 50 * time.Millisecond {
		m.Traffic(now, last)
	}
	if now-last > 3*time.Second {
		t.Errorf("found after %v", now-last)
	}
	if got := m.Path(now); got.Direct != ap(wan) || !got.Relay {
		t.Errorf("then: %+v", got)
	}
}

// The peer has found out first that the path is broken: the answer to its packets
// goes by both ways at once, until a probe says which.
func TestAPeerThatUsesTheRelayIsBelieved(t *testing.T) {
	m := newMachine(wan)
	m.SetRelay(t0, true)
	m.Pong(t0+10*time.Millisecond, pinged(m.Traffic(t0, 0))[wan])
	if out := m.MovedToRelay(t0 + 20*time.Millisecond); len(out) != 0 || !m.Path(t0+20*time.Millisecond).Proved {
		t.Errorf("a packet on its way while the path was found: %+v, %+v", out, m.Path(t0+20*time.Millisecond))
	}
	now := t0 + time.Second
	ask := pinged(m.MovedToRelay(now))
	if got := m.Path(now); len(ask) != 1 || got.Direct != ap(wan) || !got.Relay || got.Proved {
		t.Errorf("asked %v, path %+v", ask, got)
	}
	m.Pong(now+10*time.Millisecond, ask[wan])
	if got := m.Path(now + 10*time.Millisecond); !got.Proved || got.Relay {
		t.Errorf("the path answers: %+v", got)
	}
	for now += 2 * time.Second; m.Path(now).Proved; now += 50 * time.Millisecond {
		m.MovedToRelay(now)
	}
	begun := now
	for ; m.trusted(now); now += 50 * time.Millisecond {
		m.Tick(now)
	}
	if now-begun > 2*time.Second {
		t.Errorf("a broken path is left %v after the peer left it", now-begun)
	}
}

func TestARoamingPeerIsFollowedByOneProbe(t *testing.T) {
	m := newMachine(wan)
	m.Pong(t0+time.Millisecond, pinged(m.Traffic(t0, 0))[wan])
	now := t0 + time.Second
	const moved = "198.51.100.20:4000"
	ask := pinged(m.Moved(now, ap(moved)))
	m.Pong(now+30*time.Millisecond, ask[moved])
	if got := m.Path(now + 30*time.Millisecond); got.Direct != ap(moved) || !got.Proved {
		t.Errorf("path %+v, asked %v", got, ask)
	}
}

// The peer moves just after it came: the best address is probed as well, or its silence
// would not show before the next heartbeat.
func TestAPeerThatMovesAtOnceIsFollowed(t *testing.T) {
	const moved, rtt = "198.51.100.20:4000", 10 * time.Millisecond
	m := newMachine(wan)
	m.Moved(t0, ap(wan))
	m.Pong(t0+rtt, pinged(m.Traffic(t0, 0))[wan])
	now := t0 + 5*rtt
	m.Pong(now+rtt, pinged(m.Moved(now, ap(moved)))[moved])
	if got := m.Path(now + rtt); got.Direct != ap(moved) || !got.Proved {
		t.Errorf("path %+v", got)
	}
}

// Nodes that call each other stop: who has called a moment ago does not answer.
// An address that answered a moment ago, before the old one fell silent, shows nothing yet.
func TestAPeerThatMovesToAKnownAddressIsFollowed(t *testing.T) {
	m := newMachine(wan, lan2)
	ask := pinged(m.Traffic(t0, 0))
	m.Pong(t0+time.Millisecond, ask[wan])
	m.Pong(t0+20*time.Millisecond, ask[lan2])
	if got := m.Path(t0 + time.Second).Direct; got != ap(wan) {
		t.Fatalf("at first: %v", got)
	}
	now := t0 + time.Second
	ask = pinged(m.Moved(now, ap(lan2)))
	if len(ask) != 2 {
		t.Fatalf("probed: %v, want both addresses", ask)
	}
	m.Pong(now+20*time.Millisecond, ask[lan2])
	if got := m.Path(now + 20*time.Millisecond).Direct; got != ap(lan2) {
		t.Errorf("after the answer: %v", got)
	}
}

func TestACallIsAnsweredByOneCall(t *testing.T) {
	m := newMachine()
	m.SetRelay(t0, true)
	out := m.Call(t0+time.Millisecond, []netip.AddrPort{ap(wan), ap(lan)})
	if count(out, Call) != 1 || count(out, Ping) != 2 || out[2].Kind != Call {
		t.Errorf("answered by %+v, want probes first", out)
	}
	if again := m.Call(t0+2*time.Millisecond, []netip.AddrPort{ap(wan), ap(lan)}); len(again) != 0 {
		t.Errorf("a second call at once is answered by %+v", again)
	}
	if m.Call(t0+time.Second, []netip.AddrPort{ap(wan)}); len(m.candidates) != 1 {
		t.Errorf("%d candidates after a call with one", len(m.candidates))
	}
	caller := newMachine(wan)
	caller.SetRelay(t0, true)
	caller.Traffic(t0, 0)
	if out := caller.Call(t0+80*time.Millisecond, []netip.AddrPort{ap(wan)}); count(out, Call) != 0 {
		t.Errorf("the caller answers the answer by %+v", out)
	}
}

// Who is called thinks that all is well. It says once where it is: its NAT may have
// moved it. The caller does not answer that.
func TestACallOnAGoodPathIsAnsweredOnce(t *testing.T) {
	m := newMachine(wan)
	m.SetRelay(t0, true)
	now := t0 + 3*time.Second
	m.Traffic(t0, 0)
	m.Pong(now, pinged(m.Traffic(now, now))[wan])
	if !m.Path(now).Proved {
		t.Fatalf("path %+v", m.Path(now))
	}
	now += 3 * time.Second
	out := m.Call(now, []netip.AddrPort{ap(wan), ap(lan)})
	if count(out, Call) != 1 || count(out, Ping) != 2 {
		t.Errorf("answered by %+v", out)
	}
	if out := m.Call(now+500*time.Millisecond, []netip.AddrPort{ap(wan), ap(lan)}); count(out, Call) != 0 {
		t.Errorf("a second call at once is answered by %+v", out)
	}
	if out := m.Renew(now + time.Second); count(out, Call) != 1 {
		t.Errorf("what was told is no longer true, and only %+v is done", out)
	}
	if out := m.Renew(now + time.Minute); len(out) != 0 {
		t.Errorf("an idle peer is told: %+v", out)
	}
}

func TestEveryPingIsAnsweredWhereItCameFrom(t *testing.T) {
	m := newMachine()
	out := m.Ping(t0, ap(wan), TxID{7})
	if len(out) != 2 || out[0] != (Action{Kind: Pong, To: ap(wan), Tx: TxID{7}}) || out[1].Kind != Ping || out[1].To != ap(wan) {
		t.Errorf("first: %+v", out)
	}
	if out = m.Ping(t0+1, ap(wan), TxID{8}); len(out) != 1 || out[0].Kind != Pong {
		t.Errorf("a second at once: %+v", out)
	}
	if out = m.Ping(t0+2, netip.AddrPort{}, TxID{9}); len(out) != 1 || out[0].To.IsValid() {
		t.Errorf("through the relay: %+v", out)
	}
}

func TestCandidatesAreBounded(t *testing.T) {
	m := newMachine(wan, lan)
	m.Pong(t0+1, pinged(m.Traffic(t0, 0))[wan])
	for i := range 1000 {
		m.Ping(t0+time.Duration(i), netip.AddrPortFrom(netip.MustParseAddr("198.51.100.1"), uint16(i+1)), TxID{})
	}
	if n := len(m.candidates); n > MaxCandidates {
		t.Errorf("%d candidates", n)
	}
	for _, a := range []string{wan, lan} {
		if m.candidates[ap(a)] == nil {
			t.Errorf("%v of the map was forgotten for sources", a)
		}
	}
	for now := t0; now < t0+time.Minute; now += time.Second {
		m.Traffic(now, 0)
	}
	if n := len(m.pending); n > 10*MaxCandidates {
		t.Errorf("%d probes are remembered", n)
	}
}

func TestANewNetworkIsProbedAtOnce(t *testing.T) {
	m := newMachine(wan)
	m.Pong(t0+1, pinged(m.Traffic(t0, 0))[wan])
	now := t0 + time.Second
	if out := m.NetworkChanged(now); count(out, Ping) != 1 || m.Path(now).Proved {
		t.Errorf("%+v, path %+v", out, m.Path(now))
	}
	idle := newMachine(wan)
	if out := idle.NetworkChanged(now); len(out) != 0 {
		t.Errorf("an idle peer is sent %+v", out)
	}
}
