package paths

import (
	"testing"
	"time"
)

// answering is a peer whose addresses answer after their round trips.
type answering struct {
	*machine
	rtt  map[string]time.Duration
	lose map[string]int // pings to an address that are lost
	now  time.Duration
}

func (a *answering) answer(now time.Duration, actions []Action) {
	for to, tx := range pinged(actions) {
		d, up := a.rtt[to]
		switch {
		case !up:
		case a.lose[to] > 0:
			a.lose[to]--
		default:
			more, _ := a.Pong(now+d, tx)
			a.answer(now+d, more)
		}
	}
}

func (a *answering) run(length time.Duration) {
	for end := a.now + length; a.now < end; a.now += 200 * time.Millisecond {
		a.answer(a.now, a.Traffic(a.now, a.now))
	}
}

// A fast address whose first probe is lost, as before a NAT is open, does not wait a minute while a
// slow private one carries the traffic.
func TestAFastAddressThatLostItsFirstProbeIsFoundSoon(t *testing.T) {
	ms := time.Millisecond
	a := &answering{newMachine(lan, wan), map[string]time.Duration{lan: 150 * ms, wan: 5 * ms}, map[string]int{wan: 1}, t0}
	a.run(time.Second)
	if got := a.Path(a.now).Direct; got != ap(lan) {
		t.Fatalf("at first: %v", got)
	}
	a.run(4 * time.Second)
	if got := a.Path(a.now).Direct; got != ap(wan) {
		t.Errorf("after 5 s: %v", got)
	}
}

// Lost probes of a fast path may bring the slow one for a moment, but not for a minute.
func TestLostProbesDoNotBringTheSlowPathBackForLong(t *testing.T) {
	ms := time.Millisecond
	a := &answering{newMachine(lan, wan), map[string]time.Duration{lan: 150 * ms, wan: 5 * ms}, map[string]int{}, t0}
	a.run(10 * time.Second)
	if got := a.Path(a.now).Direct; got != ap(wan) {
		t.Fatalf("at first: %v", got)
	}
	a.lose[wan] = 3
	a.run(10 * time.Second)
	if got := a.Path(a.now).Direct; got != ap(wan) {
		t.Errorf("10 s later: %v", got)
	}
}

// The peer has found its way to this node at an address of another class. A slow private path is
// compared with it at once.
func TestAProbeOfAnotherClassIsComparedWithASlowPath(t *testing.T) {
	ms := time.Millisecond
	for _, tt := range []struct {
		private time.Duration
		asks    bool
	}{{150 * ms, true}, {2 * ms, false}} {
		a := &answering{newMachine(lan), map[string]time.Duration{lan: tt.private, wan: 5 * ms}, nil, t0}
		a.run(2 * time.Second)
		out := a.Ping(a.now, ap(wan), TxID{99})
		if asks := count(out, Ping) == 1; asks != tt.asks {
			t.Errorf("private path of %v: %+v", tt.private, out)
		}
		a.answer(a.now, out)
		if moved := a.Path(a.now+200*ms).Direct == ap(wan); moved != tt.asks {
			t.Errorf("private path of %v: moved %v", tt.private, moved)
		}
	}
}

func TestTheBestOfThoseThatAnswerReplacesASilentPath(t *testing.T) {
	ms := time.Millisecond
	cs := []*candidate{{addr: ap(lan), rtt: 150 * ms}, {addr: ap(wan), rtt: 5 * ms}}
	if got := bestOf(cs); got.addr != ap(wan) {
		t.Errorf("%v", got.addr)
	}
	cs[0].rtt = 6 * ms
	if got := bestOf(cs); got.addr != ap(lan) {
		t.Errorf("with like round trips: %v", got.addr)
	}
}

// A fast path that was down for long is back within seconds, not within a minute.
func TestAFastPathThatWasDownIsFoundAgain(t *testing.T) {
	ms := time.Millisecond
	a := &answering{newMachine(lan, wan), map[string]time.Duration{lan: 150 * ms, wan: 5 * ms}, map[string]int{}, t0}
	a.run(5 * time.Second)
	delete(a.rtt, wan)
	a.run(30 * time.Second)
	if got := a.Path(a.now).Direct; got != ap(lan) {
		t.Fatalf("while the fast one is down: %v", got)
	}
	a.rtt[wan] = 5 * ms
	a.run(betterAgain + time.Second)
	if got := a.Path(a.now).Direct; got != ap(wan) {
		t.Errorf("after it is back: %v", got)
	}
}
