package paths

import (
	"net/netip"
	"slices"
	"time"
)

// SetCandidates sets the addresses that the network map has, best first. The slice is
// kept, so the caller must not change it afterwards.
func (p *Peer) SetCandidates(now time.Duration, addrs []netip.AddrPort) []Action {
	old := p.mapped
	p.mapped = addrs
	if p.AtRest() {
		return nil
	}
	added := p.replace(now, addrs, func(c *candidate) *bool { return &c.mapped })
	var out []Action
	if p.active(now) && !p.trusted(now) {
		out = p.pingAll(now, nil, added)
	}
	return p.initiateAt(now, out, func(a netip.AddrPort) bool { return !slices.Contains(old, a) })
}

// Candidates are the addresses that the network map has. The caller must not change
// them.
func (p *Peer) Candidates() []netip.AddrPort { return p.mapped }

// replace gives exactly addrs a mark and returns the candidates that are new. A candidate
// without any mark goes.
func (p *Peer) replace(now time.Duration, addrs []netip.AddrPort, mark func(*candidate) *bool) (added []*candidate) {
	for _, c := range p.candidates {
		*mark(c) = false
	}
	for _, a := range addrs {
		c := p.candidates[a]
		if c == nil {
			if c = p.add(a); c == nil {
				continue
			}
			added = append(added, c)
		}
		*mark(c) = true
	}
	for a, c := range p.candidates {
		if !c.mapped && !c.called && c.seen == 0 && c != p.best && c != p.data.left {
			delete(p.candidates, a)
		}
	}
	return added
}

// add makes a candidate. Above the limit it removes one that is only a source of
// packets, and not the best; without such a candidate it returns nil.
func (p *Peer) add(a netip.AddrPort) *candidate {
	if len(p.candidates) >= MaxCandidates {
		var out *candidate
		for _, c := range p.candidates {
			if c != p.best && !c.mapped && !c.called && (out == nil || c.seen < out.seen) {
				out = c
			}
		}
		if out == nil {
			return nil
		}
		delete(p.candidates, out.addr)
	}
	c := &candidate{addr: a}
	p.candidates[a] = c
	return c
}

// see notes that the peer sent a packet from an address, or says so.
func (p *Peer) see(now time.Duration, addr netip.AddrPort) *candidate {
	c := p.candidates[addr]
	if c == nil {
		if c = p.add(addr); c == nil {
			return nil
		}
	}
	c.seen = now
	return c
}

// sorted are the candidates that match, the most promising first.
func (p *Peer) sorted(match func(*candidate) bool) (out []*candidate) {
	for _, c := range p.candidates {
		if match == nil || match(c) {
			out = append(out, c)
		}
	}
	slices.SortFunc(out, func(a, b *candidate) int {
		if x, y := class(a.addr.Addr()), class(b.addr.Addr()); x != y {
			return x - y
		}
		return a.addr.Compare(b.addr)
	})
	return out
}

// bestOf is the one of some candidates, best class first, that no other one is worth leaving for.
func bestOf(cs []*candidate) *candidate {
	best := cs[0]
	for _, c := range cs[1:] {
		if better(c, best) {
			best = c
		}
	}
	return best
}

// class orders addresses by what they promise.
func class(a netip.Addr) int {
	switch {
	case a.IsLoopback():
		return 0
	case a.IsLinkLocalUnicast():
		return 1
	case a.IsPrivate():
		return 2
	case a.Is6():
		return 3
	}
	return 4
}

// A round trip decides between classes only if it is this much longer. Between the two limits
// neither address is worth leaving the other for, so that jitter does not make a path change.
const (
	closeBy = 2 * time.Millisecond // the class decides
	farther = 5 * time.Millisecond // and a tenth of the round trip: the class no longer counts
)

// better reports whether a is worth leaving b for. The shorter round trip wins; where the round
// trips are alike, the class does. The private address of another VPN may be far away.
func better(a, b *candidate) bool {
	switch x, y := class(a.addr.Addr()), class(b.addr.Addr()); {
	case x < y:
		return a.rtt <= b.rtt+max(b.rtt/20, closeBy)
	case x > y:
		return a.rtt+b.rtt/10+farther < b.rtt
	}
	return a.rtt+max(b.rtt/10, time.Millisecond) < b.rtt
}
