// Package natlab simulates networks behind NATs and firewalls in memory. It is for tests
// only.
//
//	segment ── box ── segment ── box ── segment without a gate: the internet
//	 hosts             hosts             hosts
//
// A box is a NAT, or a firewall if it translates nothing. The package routes packets,
// which here have nothing but a source, a destination and a time to live; delay, loss and
// contents are up to the test.
package natlab

import (
	"net/netip"
	"slices"
)

const (
	// UsualHops is the time to live of an ordinary packet.
	UsualHops = 64

	coreHops = 4 // routers between two hosts on the internet
)

// Depends is the part of a remote address that a mapping or a filter looks at.
type Depends int

const (
	OnNothing Depends = iota
	OnAddr
	OnAddrPort
)

// of is the part of a that counts.
func (d Depends) of(a netip.AddrPort) netip.AddrPort {
	switch d {
	case OnNothing:
		return netip.AddrPort{}
	case OnAddr:
		return netip.AddrPortFrom(a.Addr(), 0)
	}
	return a
}

// Box stands between a segment and the one outside of it.
type Box struct {
	Addr     netip.Addr // outside
	Firewall bool       // translates nothing; the host inside has Addr
	Mapping  Depends    // a port outside is for one destination, as far as this looks at it
	Filter   Depends    // a port outside lets in packets from destinations, as far as this looks at them
	Hairpin  bool       // a packet from inside to Addr comes back in

	// Together makes the filter a set of destinations of the whole box: a port lets in what any
	// port has sent to.
	Together bool

	// Keeps is Linux's way without a rule that drops: the box keeps the source port when
	// it can, takes a packet that arrives unasked for a connection of its own, and takes
	// that connection's port for used.
	Keeps bool

	ports   map[flow]uint16 // inside address (and destination) -> port outside
	back    map[uint16]netip.AddrPort
	allowed map[uint16][]netip.AddrPort // destinations that a port has sent to
	taken   map[flow]bool               // by unasked packets: from there to an address of the box
	next    uint16
}

type flow struct{ from, to netip.AddrPort }

// Flush forgets all mappings.
func (b *Box) Flush() {
	b.ports, b.back, b.allowed, b.taken = map[flow]uint16{}, map[uint16]netip.AddrPort{}, map[uint16][]netip.AddrPort{}, map[flow]bool{}
}

// out translates the source of a packet that leaves.
func (b *Box) out(from, to netip.AddrPort) netip.AddrPort {
	f := flow{from, b.Mapping.of(to)}
	port, ok := b.ports[f]
	if ok && b.taken[flow{to, netip.AddrPortFrom(b.Addr, port)}] && !slices.Contains(b.allowed[port], to) {
		f.to = to
		port, ok = b.ports[f]
	}
	if !ok {
		if port = from.Port(); !b.Firewall && (!b.Keeps || f.to.IsValid()) {
			b.next++
			port = 40000 + b.next
		}
		b.ports[f], b.back[port] = port, from
	}
	if !slices.Contains(b.allowed[port], to) {
		b.allowed[port] = append(b.allowed[port], to)
	}
	return netip.AddrPortFrom(b.Addr, port)
}

// in translates the destination of a packet that arrives at a port; false: it is dropped.
func (b *Box) in(from netip.AddrPort, port uint16) (netip.AddrPort, bool) {
	to, ok := b.back[port]
	ok = ok && (b.admits(from, port) || b.Together && b.admitsAnywhere(from))
	if !ok && b.Keeps {
		b.taken[flow{from, netip.AddrPortFrom(b.Addr, port)}] = true
	}
	return to, ok
}

func (b *Box) admits(from netip.AddrPort, port uint16) bool {
	return slices.ContainsFunc(b.allowed[port], func(a netip.AddrPort) bool { return b.Filter.of(a) == b.Filter.of(from) })
}

func (b *Box) admitsAnywhere(from netip.AddrPort) bool {
	for port := range b.allowed {
		if b.admits(from, port) {
			return true
		}
	}
	return false
}

// Segment is a network on which all hosts reach each other. H is the test's host, or
// socket of a host.
type Segment[H any] struct {
	hosts map[netip.AddrPort]H
	boxes map[netip.Addr]*gate[H] // by their outer address
	gate  *gate[H]                // the way out; nil: this is the internet
}

// gate is a box in its place.
type gate[H any] struct {
	*Box
	inner, outer *Segment[H]
}

// Internet makes a segment without a way out.
func Internet[H any]() *Segment[H] {
	return &Segment[H]{hosts: map[netip.AddrPort]H{}, boxes: map[netip.Addr]*gate[H]{}}
}

// Behind makes a segment behind a box, which is on s.
func (s *Segment[H]) Behind(b Box) *Segment[H] {
	b.next = 0
	b.Flush()
	inner := Internet[H]()
	inner.gate = &gate[H]{&b, inner, s}
	s.boxes[b.Addr] = inner.gate
	return inner
}

// Gate is the box between s and the segment outside of it; nil for the internet.
func (s *Segment[H]) Gate() *Box {
	if s.gate == nil {
		return nil
	}
	return s.gate.Box
}

// Place puts a host at an address.
func (s *Segment[H]) Place(h H, at netip.AddrPort) { s.hosts[at] = h }

// Flush has every box between s and the internet forget its mappings.
func (s *Segment[H]) Flush() {
	for ; s.gate != nil; s = s.gate.outer {
		s.gate.Flush()
	}
}

// Route brings a packet from a host on s to its destination. seen is the source that the
// receiver sees; ok is false if the packet is lost on the way.
func (s *Segment[H]) Route(from, to netip.AddrPort, hops int) (h H, seen netip.AddrPort, ok bool) {
	if s.gate == nil {
		hops -= coreHops
	}
	if hops <= 0 {
		return h, from, false
	}
	if h, ok := s.hosts[to]; ok {
		return h, from, true
	}
	if b := s.boxes[to.Addr()]; b != nil {
		inside, ok := b.in(from, to.Port())
		if !ok {
			return h, from, false
		}
		return b.inner.Route(from, inside, hops-1)
	}
	b := s.gate
	switch {
	case b == nil || hops == 1:
		return h, from, false
	case b.Addr != to.Addr():
		return b.outer.Route(b.out(from, to), to, hops-1)
	case !b.Hairpin:
		return h, from, false
	}
	from = b.out(from, to)
	inside, ok := b.in(from, to.Port())
	if !ok {
		return h, from, false
	}
	return s.Route(from, inside, hops-1)
}
