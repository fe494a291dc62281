package paths

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"nexd/internal/natlab"
)

// site is a kind of place to be: what stands between a host and the internet.
type site struct {
	name  string
	hard  bool // its mapping depends on the destination
	tight bool // it lets in only whom it has sent to, port and all
	make  func(w *world, internet *segment, n int) *host
}

func public(n int) netip.Addr { return netip.AddrFrom4([4]byte{203, 0, 113, byte(n)}) }

func nat(name string, b natlab.Box) site {
	return site{name, b.Mapping != natlab.OnNothing, b.Filter == natlab.OnAddrPort, func(w *world, internet *segment, n int) *host {
		b.Addr = public(n)
		return w.host(name, internet.Behind(b), fmt.Sprintf("192.168.%d.2:51820", n))
	}}
}

var sites = []site{
	{"none", false, false, func(w *world, internet *segment, n int) *host {
		return w.host("none", internet, fmt.Sprintf("203.0.113.%d:51820", n))
	}},
	nat("full cone", natlab.Box{Filter: natlab.OnNothing}),
	nat("restricted", natlab.Box{Filter: natlab.OnAddr}),
	nat("port-restricted", natlab.Box{Filter: natlab.OnAddrPort}),
	nat("keeping", natlab.Box{Filter: natlab.OnAddrPort, Keeps: true}),
	nat("symmetric", natlab.Box{Filter: natlab.OnAddrPort, Mapping: natlab.OnAddrPort}),
	{"keeping, double", false, true, func(w *world, internet *segment, n int) *host {
		outer := internet.Behind(natlab.Box{Addr: public(n), Filter: natlab.OnAddrPort, Keeps: true})
		inner := outer.Behind(natlab.Box{Addr: netip.AddrFrom4([4]byte{10, 64, 0, byte(n)}), Filter: natlab.OnAddrPort, Keeps: true})
		return w.host("keeping, double", inner, fmt.Sprintf("192.168.%d.2:51820", n))
	}},
	{"double", false, true, func(w *world, internet *segment, n int) *host {
		carrier := internet.Behind(natlab.Box{Addr: public(n), Filter: natlab.OnAddrPort})
		home := carrier.Behind(natlab.Box{Addr: netip.AddrFrom4([4]byte{100, 64, 0, byte(n)}), Filter: natlab.OnAddrPort})
		return w.host("double", home, fmt.Sprintf("192.168.%d.2:51820", n))
	}},
	{"firewall", false, true, func(w *world, internet *segment, n int) *host {
		inside := internet.Behind(natlab.Box{Addr: public(n), Firewall: true, Filter: natlab.OnAddrPort})
		return w.host("firewall", inside, fmt.Sprintf("203.0.113.%d:51820", n))
	}},
	{"carrier and firewall", false, true, func(w *world, internet *segment, n int) *host {
		carrier := internet.Behind(natlab.Box{Addr: public(n), Filter: natlab.OnAddr})
		inner := netip.AddrFrom4([4]byte{100, 64, 0, byte(n)})
		home := carrier.Behind(natlab.Box{Addr: inner, Firewall: true, Filter: natlab.OnAddrPort})
		return w.host("carrier and firewall", home, netip.AddrPortFrom(inner, 51820).String())
	}},
}

// keeps reports whether a box of the site keeps what comes in unasked.
func (s site) keeps() bool { return strings.HasPrefix(s.name, "keeping") }

// within is how soon after the first packet a direct path is used.
const within = time.Second

// eachPair runs a test for every pair of sites, in both orders, with a host at each.
func eachPair(t *testing.T, run func(t *testing.T, w *world, one, other site, a, b *host)) {
	for _, one := range sites {
		for _, other := range sites {
			t.Run(one.name+" and "+other.name, func(t *testing.T) {
				internet := natlab.Internet[*host]()
				w := newWorld(t, internet)
				a, b := one.make(w, internet, 1), other.make(w, internet, 2)
				introduce(a, b)
				run(t, w, one, other, a, b)
			})
		}
	}
}

func TestEveryPairOfSites(t *testing.T) {
	eachPair(t, func(t *testing.T, w *world, one, other site, a, b *host) {
		b.idle = true // it answers only: the traffic is a's
		direct := !(one.hard && (other.hard || other.tight) || other.hard && one.tight)
		took := w.run(within, func() bool { return a.path().Proved })
		switch got := a.path(); {
		case direct && !got.Proved:
			t.Errorf("no direct path within %v: %+v", within, got)
		case !direct && (got.Direct.IsValid() || !got.Relay):
			t.Errorf("path %+v, want the relay", got)
		case direct:
			t.Logf("direct to %v after %v", got.Direct, took)
		}
		b.idle = false
		w.run(within, nil)
		if got := b.path(); got.Proved != direct {
			t.Errorf("the other side's path is %+v", got)
		}
	})
}

func TestBehindOneNAT(t *testing.T) {
	for _, hairpin := range []bool{true, false} {
		internet := natlab.Internet[*host]()
		w := newWorld(t, internet)
		// Two LANs behind one NAT that do not reach each other but through it.
		shared := internet.Behind(natlab.Box{Addr: public(1), Filter: natlab.OnAddrPort, Hairpin: hairpin})
		a := w.host("a", shared.Behind(natlab.Box{Addr: netip.MustParseAddr("10.0.0.1"), Filter: natlab.OnAddrPort}), "192.168.1.2:51820")
		b := w.host("b", shared.Behind(natlab.Box{Addr: netip.MustParseAddr("10.0.0.2"), Filter: natlab.OnAddrPort}), "192.168.2.2:51820")
		introduce(a, b)
		w.run(within, nil)
		if got := a.path(); got.Proved != hairpin {
			t.Errorf("hairpin %v: path %+v", hairpin, got)
		}
	}
	internet := natlab.Internet[*host]()
	w := newWorld(t, internet)
	lan := internet.Behind(natlab.Box{Addr: public(1), Filter: natlab.OnAddrPort, Hairpin: true})
	a, b := w.host("a", lan, "192.168.1.2:51820"), w.host("b", lan, "192.168.1.3:51820")
	introduce(a, b)
	w.run(within, nil)
	if got := a.path(); !got.Proved || got.Direct != b.at {
		t.Errorf("two nodes of one LAN use %+v", got)
	}
}

// pair is a direct path between two port-restricted NATs.
func pairOfNATs(t *testing.T) (w *world, a, b *host, boxes [2]*natlab.Box) {
	t.Helper()
	internet := natlab.Internet[*host]()
	w = newWorld(t, internet)
	la := internet.Behind(natlab.Box{Addr: public(1), Filter: natlab.OnAddrPort})
	lb := internet.Behind(natlab.Box{Addr: public(2), Filter: natlab.OnAddrPort})
	a, b = w.host("a", la, "192.168.1.2:51820"), w.host("b", lb, "192.168.2.2:51820")
	introduce(a, b)
	w.run(within, nil)
	if !a.path().Proved || !b.path().Proved {
		t.Fatalf("paths %+v and %+v", a.path(), b.path())
	}
	return w, a, b, [2]*natlab.Box{la.Gate(), lb.Gate()}
}

func TestBlockedUDPGoesThroughTheRelayAndComesBack(t *testing.T) {
	w, a, b, _ := pairOfNATs(t)
	w.run(10*time.Second, nil)
	b.blocked = true
	took := w.run(20*time.Second, func() bool { return a.path().Relay && b.path().Relay })
	if took >= 5*time.Second {
		t.Errorf("the relay was used after %v", took)
	}
	w.run(time.Minute, nil)
	if got := a.path(); got.Direct.IsValid() || !got.Relay {
		t.Errorf("after a minute without UDP the path is %+v", got)
	}
	b.blocked = false
	took = w.run(time.Minute, func() bool { return a.path().Proved && b.path().Proved })
	if took >= 15*time.Second {
		t.Errorf("direct again after %v", took)
	}
}

// What the NATs have forgotten they give other ports to.
func TestFlushedNATs(t *testing.T) {
	w, a, b, boxes := pairOfNATs(t)
	w.run(10*time.Second, nil)
	for _, box := range boxes {
		box.Flush()
	}
	was := [2]netip.AddrPort{a.path().Direct, b.path().Direct}
	took := w.run(20*time.Second, func() bool {
		return a.path().Proved && a.path().Direct != was[0] && b.path().Proved && b.path().Direct != was[1]
	})
	if took >= 5*time.Second {
		t.Errorf("direct again after %v", took)
	}
}

// A stream that waits for an acknowledgement sends 0.2, 0.6, 1.4 and 3 s after the
// last that came. Its receiver has nothing to say, so nothing opens its NAT. A NAT that
// keeps what comes too early does so now, and the stream goes by the relay.
func TestAStreamGoesOnSoonAfterTheNATsForgotEverything(t *testing.T) {
	eachPair(t, func(t *testing.T, w *world, one, other site, a, b *host) {
		limit := 1700 * time.Millisecond
		if one.keeps() || other.keeps() {
			limit = 10 * time.Second
		}
		a.streams, b.idle = true, true
		for i := range 8 { // whatever the heartbeat is about to do
			w.run(10*time.Second+time.Duration(i)*260*time.Millisecond, nil)
			a.flush()
			b.flush()
			w.run(2*wireDelay, nil) // what is on its way
			before := b.data
			if took := w.run(20*time.Second, func() bool { return b.data > before+5 }); took > limit {
				t.Errorf("data came again after %v; path %+v", took, a.path())
			}
		}
	})
}

func TestWithoutARelayTheLastSourceIsKept(t *testing.T) {
	w, a, b, _ := pairOfNATs(t)
	w.relay = false
	a.do(a.paths.SetRelay(w.now, false))
	was := a.path().Direct
	b.blocked = true
	w.run(time.Minute, nil)
	if got := a.path(); got.Direct != was || got.Relay || got.Proved {
		t.Errorf("path %+v, want %v kept", got, was)
	}
}

func TestIdlePeersAreSilent(t *testing.T) {
	w, a, b, _ := pairOfNATs(t)
	a.idle, b.idle = true, true
	w.run(activeFor+time.Second, nil)
	before := a.sent + b.sent
	w.run(time.Hour, nil)
	if n := a.sent + b.sent - before; n != 0 {
		t.Errorf("%d packets in an hour without traffic", n)
	}
	if _, ok := a.paths.Next(w.now); ok {
		t.Error("an idle peer wants to be woken")
	}
	a.idle = false
	took := w.run(time.Minute, func() bool { return a.path().Proved })
	if took > within {
		t.Errorf("direct %v after the first packet", took)
	}
}

// A path that is good costs some probes, not a stream of them.
func TestAGoodPathCostsAProbeEveryTwoSeconds(t *testing.T) {
	w, a, _, _ := pairOfNATs(t)
	w.run(5*time.Second, nil)
	before := a.sent
	w.run(20*time.Second, nil)
	if n := a.sent - before; n < 15 || n > 25 { // ten of its own, ten answers
		t.Errorf("%d packets in 20 s", n)
	}
}
