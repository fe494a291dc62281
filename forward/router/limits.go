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
	dials, conns, flows, pings, programs int
	dialsTo                              map[netip.Addr]int
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

// takeDial reserves a dial. Targets not proven alive share three quarters of a
// peer's dials, and each of them has few: dead hosts, however many, leave the
// live ones room.
func (a *accounts) takeDial(peer string, target netip.Addr, proven bool) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.open(peer)
	room := p.dials < a.max.Dials
	if !proven {
		room = p.dials < max(a.max.Dials*3/4, 1) && p.dialsTo[target] < a.max.DialsPerDead
	}
	if !room {
		a.settle(peer, p)
		return false
	}
	p.dials++
	p.dialsTo[target]++
	return true
}

func (a *accounts) giveDial(peer string, target netip.Addr) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.peers[peer]
	p.dials--
	if p.dialsTo[target]--; p.dialsTo[target] == 0 {
		delete(p.dialsTo, target)
	}
	a.settle(peer, p)
}

// open finds or makes an account; the caller holds mu.
func (a *accounts) open(peer string) *account {
	p := a.peers[peer]
	if p == nil {
		p = &account{dialsTo: map[netip.Addr]int{}}
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
