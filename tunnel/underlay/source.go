package underlay

import (
	"net/netip"
	"sync/atomic"
	"time"
)

// A host may have several addresses, and a peer or the firewall before this host may know only one
// of them. Packets to an endpoint leave from the address at which its packets arrive, unless the
// host's routes select that address anyway, as on nearly every host. Then nothing is set, and
// packets follow the routes when they change.
const (
	// sureFor is how long a packet of the peer shows that the address is the right one. After that,
	// probes and initiations leave from it and from the address that the routes select in turn.
	sureFor = int64(2 * time.Second)

	// settling is how long packets leave as the routes select after these have changed. Packets
	// that were under way arrive at the address of before.
	settling = int64(time.Second)
)

// origin is the address of this host that an endpoint's packets are sent to.
type origin struct {
	at     netip.Addr   // does not change; invalid = not known, or never reported
	choice atomic.Int32 // whether packets leave from there: unsettled, fromRoute, fromAsked
	turn   atomic.Uint32
	probed atomic.Int64               // moment of the last authentic probe from the endpoint
	routed atomic.Pointer[netip.Addr] // what the routes selected when choice was fromAsked
}

// States of origin.choice.
const (
	unsettled = iota // to be found out when a packet is sent
	fromRoute        // as the routes select: that is the same address, or the host has lost at
	fromAsked        // from at
)

// source is the address from which packets to e leave; invalid = as the routes select.
func (b *Bind) source(socks sockets, e *endpoint) netip.Addr {
	switch e.origin.choice.Load() {
	case fromAsked:
		return e.origin.at
	case fromRoute:
		return netip.Addr{}
	}
	if !e.origin.at.IsValid() {
		return netip.Addr{}
	}
	if changed := b.net.changed.Load(); changed != 0 && b.now()-changed < settling {
		return netip.Addr{}
	}
	routed := socks.Route(e.addr)
	if routed == e.origin.at {
		e.origin.choice.Store(fromRoute)
		return netip.Addr{}
	}
	e.origin.routed.Store(&routed)
	e.origin.choice.Store(fromAsked)
	b.logger.Debug("peer asks at another address than the routes select", "peer", e.key.Short(), "addr", e.addr, "asked", e.origin.at, "route", routed)
	return e.origin.at
}

// sourceNow is source for a probe or an initiation to an address of p. The endpoint that it returns
// is nil if there is none.
func (b *Bind) sourceNow(socks sockets, p *peer, to netip.AddrPort) (netip.Addr, *endpoint) {
	e := p.sources.known(to)
	if e == nil {
		return netip.Addr{}, nil
	}
	source := b.source(socks, e)
	if source.IsValid() && b.now()-e.shown() > sureFor && e.origin.turn.Add(1)%2 == 0 {
		return netip.Addr{}, nil
	}
	return source, e
}

// sendOne sends a packet to an address of p.
func (b *Bind) sendOne(socks sockets, p *peer, packet []byte, to netip.AddrPort) error {
	source, e := b.sourceNow(socks, p, to)
	refused, err := socks.SendFrom([][]byte{packet}, to, source, true)
	if refused.Source && e != nil {
		e.origin.choice.Store(fromRoute)
	}
	return err
}

// networkChanged has the endpoints of p find out again where packets leave from. What the routes
// did not change stays.
func (p *peer) networkChanged(socks sockets) {
	for _, e := range p.sources.all() {
		if routed := e.origin.routed.Load(); e.origin.choice.Load() == fromAsked && routed != nil && socks.Route(e.addr) == *routed {
			continue
		}
		e.origin.choice.Store(unsettled)
	}
}

// all are the endpoints that the peer's packets may go to.
func (s *sources) all() (out []*endpoint) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.m {
		if out = append(out, e); e.other != nil {
			out = append(out, e.other)
		}
	}
	if e := s.current.Load(); e != nil {
		out = append(out, e)
	}
	return out
}

// known is the endpoint at an address to which packets go; nil = none.
func (s *sources) known(addr netip.AddrPort) *endpoint {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.m[addr]; e != nil {
		return e
	}
	if e := s.current.Load(); e != nil && e.addr == addr {
		return e
	}
	return nil
}

// heardFrom is the moment of the last packet from an address; 0 = none is known.
func (s *sources) heardFrom(addr netip.AddrPort) int64 {
	e := s.known(addr)
	if e == nil {
		return 0
	}
	heard := e.heard.Load()
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.other != nil {
		heard = max(heard, e.other.heard.Load())
	}
	return heard
}

// arrived is the endpoint of packets from addr to this host's address at. It becomes the one to
// which packets go when confirm is called, since anybody can forge a source.
func (p *peer) arrived(addr netip.AddrPort, at netip.Addr) *endpoint {
	s := &p.sources
	s.mu.Lock()
	defer s.mu.Unlock()
	e := p.cachedLocked(addr)
	if !at.IsValid() || e.origin.at == at {
		return e
	}
	if e.other == nil || e.other.origin.at != at {
		e.other = p.newEndpoint(addr, at)
	}
	return e.other
}

// confirm makes e the endpoint to which packets to its address go: an authenticated packet came
// from there. It returns false if e was that already.
func (p *peer) confirm(e *endpoint) bool {
	s := &p.sources
	s.mu.Lock()
	defer s.mu.Unlock()
	was := p.cachedLocked(e.addr)
	if was == e || !e.origin.at.IsValid() || e.opening != nil {
		return false
	}
	e.other, was.other = was, nil
	s.m[e.addr] = e
	return true
}

// confirmProbe is confirm for an authentic probe from addr to at. Probes try every way, so they
// change nothing while other packets show the way in use.
func (p *peer) confirmProbe(addr netip.AddrPort, at netip.Addr, now int64) {
	e := p.arrived(addr, at)
	if was := p.sources.known(addr); !was.origin.at.IsValid() || now-was.shown() > sureFor {
		p.confirm(e)
	}
	e.origin.probed.Store(now)
}

// shown is the moment of the last packet or probe that showed the endpoint's two addresses.
func (e *endpoint) shown() int64 { return max(e.heard.Load(), e.origin.probed.Load()) }

func (p *peer) newEndpoint(addr netip.AddrPort, at netip.Addr) *endpoint {
	e := &endpoint{key: p.key, addr: addr}
	e.origin.at = at
	e.owner.Store(p)
	return e
}
