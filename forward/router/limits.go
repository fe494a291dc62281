package router

import (
	"net/netip"
	"sync"
)

// accounts counts what every peer holds, so that no peer and no dead target can
// take what others need. An account exists while it holds something.
type accounts struct {
	max Limits

	mu    sync.Mutex
	peers map[string]*account
}

type account struct {
	dials, unproven               int
	dialsTo                       map[netip.AddrPort]int // see dial.to
	conns, flows, pings, programs int
}

func newAccounts(max Limits) *accounts {
	return &accounts{max: max, peers: map[string]*account{}}
}

// take adds one to a count of the peer if that stays within max.
func (a *accounts) take(peer string, max int, count func(*account) *int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.open(peer)
	n := count(p)
	if *n >= max {
		a.settle(peer, p)
		return false
	}
	*n++
	return true
}

func (a *accounts) give(peer string, count func(*account) *int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.peers[peer]
	*count(p)--
	a.settle(peer, p)
}

// dial is a place among a peer's dials in flight.
type dial struct {
	peer   string
	to     netip.AddrPort // a proven target, or the address of an unproven one with port 0
	proven bool
}

// takeDial reserves a dial. Targets not proven alive share three quarters of a
// peer's dials, and each address among them has few: dead hosts, however many,
// leave the live ones room. A proven target may have more, but never all.
func (a *accounts) takeDial(peer string, target netip.AddrPort, proven bool) (dial, bool) {
	d := dial{peer: peer, to: target, proven: proven}
	most := max(a.max.Dials/4, 1)
	if !proven {
		d.to = netip.AddrPortFrom(target.Addr(), 0)
		most = a.max.DialsPerDead
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.open(peer)
	if p.dials >= a.max.Dials || p.dialsTo[d.to] >= most || !proven && p.unproven >= max(a.max.Dials*3/4, 1) {
		a.settle(peer, p)
		return d, false
	}
	p.count(d, 1)
	return d, true
}

func (a *accounts) giveDial(d dial) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.peers[d.peer]
	p.count(d, -1)
	a.settle(d.peer, p)
}

func (p *account) count(d dial, by int) {
	p.dials += by
	if !d.proven {
		p.unproven += by
	}
	if p.dialsTo[d.to] += by; p.dialsTo[d.to] == 0 {
		delete(p.dialsTo, d.to)
	}
}

// open finds or makes an account; the caller holds mu.
func (a *accounts) open(peer string) *account {
	p := a.peers[peer]
	if p == nil {
		p = &account{dialsTo: map[netip.AddrPort]int{}}
		a.peers[peer] = p
	}
	return p
}

// settle closes an account that holds nothing; the caller holds mu.
func (a *accounts) settle(peer string, p *account) {
	if p.dials == 0 && p.conns == 0 && p.flows == 0 && p.pings == 0 && p.programs == 0 {
		delete(a.peers, peer)
	}
}

func conns(p *account) *int    { return &p.conns }
func flows(p *account) *int    { return &p.flows }
func pings(p *account) *int    { return &p.pings }
func programs(p *account) *int { return &p.programs }
