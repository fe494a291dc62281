package natlab

import (
	"net/netip"
	"testing"
)

func ap(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

const (
	inside = "192.168.1.2:7"
	one    = "198.51.100.1:1"
	other  = "198.51.100.1:2"
	far    = "198.51.100.2:1"
)

// behind is a host behind a box, and the segments of both.
func behind(b Box) (inner, internet *Segment[string]) {
	b.Addr = netip.MustParseAddr("203.0.113.1")
	internet = Internet[string]()
	for _, at := range []string{one, other, far} {
		internet.Place(at, ap(at))
	}
	inner = internet.Behind(b)
	inner.Place("host", ap(inside))
	return inner, internet
}

func TestMappingAndFilter(t *testing.T) {
	for _, mapping := range []Depends{OnNothing, OnAddr, OnAddrPort} {
		for _, filter := range []Depends{OnNothing, OnAddr, OnAddrPort} {
			inner, internet := behind(Box{Mapping: mapping, Filter: filter})
			to, seen, ok := inner.Route(ap(inside), ap(one), UsualHops)
			if !ok || to != one || seen.Addr() != netip.MustParseAddr("203.0.113.1") {
				t.Fatalf("%s, seen as %v, %v", to, seen, ok)
			}
			for from, need := range map[string]Depends{one: OnAddrPort, other: OnAddr, far: OnNothing} {
				h, src, ok := internet.Route(ap(from), seen, UsualHops)
				if ok != (filter <= need) || ok && (h != "host" || src != ap(from)) {
					t.Errorf("mapping %v, filter %v: from %s: %q, %v", mapping, filter, from, h, ok)
				}
			}
			for to, same := range map[string]Depends{one: OnAddrPort, other: OnAddr, far: OnNothing} {
				if _, again, _ := inner.Route(ap(inside), ap(to), UsualHops); (again == seen) != (mapping <= same) {
					t.Errorf("mapping %v, filter %v: seen as %v at %s, as %v at first", mapping, filter, again, to, seen)
				}
			}
			inner.Flush()
			if _, _, ok := internet.Route(ap(one), seen, UsualHops); ok {
				t.Error("a mapping survives a flush")
			}
		}
	}
}

func TestHopsRunOut(t *testing.T) {
	inner, internet := behind(Box{})
	if _, _, ok := inner.Route(ap(inside), ap(one), 1+coreHops); ok {
		t.Error("a packet arrives without hops")
	}
	_, seen, _ := inner.Route(ap(inside), ap(far), 1) // dies in the box
	if _, _, ok := internet.Route(ap(far), netip.AddrPortFrom(seen.Addr(), 40001), UsualHops); ok {
		t.Error("a packet that died in the box has opened it")
	}
	if _, _, ok := inner.Route(ap(inside), ap(one), 2+coreHops); !ok {
		t.Error("a packet with enough hops is lost")
	}
}

func TestHairpin(t *testing.T) {
	for _, hairpin := range []bool{false, true} {
		inner, _ := behind(Box{Hairpin: hairpin})
		_, seen, _ := inner.Route(ap(inside), ap(one), UsualHops)
		if h, _, ok := inner.Route(ap(inside), seen, UsualHops); ok != hairpin || ok && h != "host" {
			t.Errorf("hairpin %v: %q, %v", hairpin, h, ok)
		}
	}
}

// A box that keeps ports takes another one for a destination whose packet came too early.
func TestKeeps(t *testing.T) {
	inner, internet := behind(Box{Keeps: true, Filter: OnAddrPort})
	_, seen, _ := inner.Route(ap(inside), ap(one), UsualHops)
	if seen.Port() != 7 {
		t.Errorf("the port is %d, not kept", seen.Port())
	}
	if _, _, ok := internet.Route(ap(far), seen, UsualHops); ok {
		t.Error("an unasked packet is let in")
	}
	if _, again, _ := inner.Route(ap(inside), ap(far), UsualHops); again == seen {
		t.Error("the port is used although an unasked packet took it")
	}
}

func TestAFirewallTranslatesNothing(t *testing.T) {
	internet := Internet[string]()
	internet.Place(one, ap(one))
	inner := internet.Behind(Box{Addr: netip.MustParseAddr("203.0.113.1"), Firewall: true, Filter: OnAddrPort})
	inner.Place("host", ap("203.0.113.1:7"))
	if _, seen, ok := inner.Route(ap("203.0.113.1:7"), ap(one), UsualHops); !ok || seen != ap("203.0.113.1:7") {
		t.Errorf("seen as %v, %v", seen, ok)
	}
	if h, _, ok := internet.Route(ap(one), ap("203.0.113.1:7"), UsualHops); !ok || h != "host" {
		t.Errorf("the answer reaches %q, %v", h, ok)
	}
}
