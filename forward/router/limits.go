package router

import (
	"net/netip"
	"sync"
)

// accounts counts what each peer holds, so that neither a peer nor a dead target takes what others
// need. An account exists while it holds something.
type accounts struct {
	max Limits

	mu    sync.Mutex
	peers map[string]*account
}

type account struct {
	dials, unproven               int
	dialsTo                       map[netip.AddrPort]int // the keys are those of dial.to
	conns, flows, pings, programs int
}

func newAccounts(max Limits) *accounts {
	return &accounts{max: max, peers: map[string]*account{}}
}

// take adds one to a count of the peer, unless the count has reached max.
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

// dial is one of a peer's dials in flight.
type dial struct {
	peer   string
	to     netip.AddrPort // a proven target, or the address of an unproven one with port 0
	proven bool
}

// takeDial reserves a dial. Targets that are not proven alive share three quarters of a peer's
// dials, and each address among them gets only a few. So any number of dead hosts leaves room for
// live ones. A proven target may have more dials, but never all.
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

// open returns the account of a peer and makes it if necessary. The caller holds mu.
func (a *accounts) open(peer string) *account {
	p := a.peers[peer]
	if p == nil {
		p = &account{dialsTo: map[netip.AddrPort]int{}}
		a.peers[peer] = p
	}
	return p
}

// settle deletes an account that holds nothing. The caller holds mu.
func (a *accounts) settle(peer string, p *account) {
	if p.dials == 0 && p.conns == 0 && p.flows == 0 && p.pings == 0 && p.programs == 0 {
		delete(a.peers, peer)
	}
}

func conns(p *account) *int    { return &p.conns }
func flows(p *account) *int    { return &p.flows }
func pings(p *account) *int    { return &p.pings }
func programs(p *account) *int { return &p.programs }
