package router

import (
	"net/netip"
	"slices"
	"sync"
)

// accounts counts what each peer holds, so that neither a peer nor a dead target takes what others
// need. An account exists while it holds something.
type accounts struct {
	max Limits

	mu      sync.Mutex
	peers   map[string]*account
	sockets int // of TCP connections and UDP flows of all peers
}

type account struct {
	dials, unproven               int
	dialsTo                       map[netip.AddrPort]int // the keys are those of dial.to
	waiting                       map[netip.AddrPort][]*turn
	waiters                       int
	conns, flows, pings, programs int
	sockets                       int
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

// timesFree bounds the sockets of a peer to a multiple of those that are free (the dynamic
// threshold of Choudhury and Hahne, 1998). A peer alone gets three quarters of all. If n peers
// hold as many as they can, 1/(3n+1) of all is still free for others.
const timesFree = 3

// takeSocket counts a socket of the peer, unless the peer has its share.
func (a *accounts) takeSocket(peer string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.open(peer)
	if p.sockets >= timesFree*(a.max.Sockets-a.sockets) {
		a.settle(peer, p)
		return false
	}
	p.sockets++
	a.sockets++
	return true
}

func (a *accounts) giveSocket(peer string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.peers[peer]
	p.sockets--
	a.sockets--
	a.settle(peer, p)
}

// held returns a count of a peer, and the number of sockets of all peers.
func (a *accounts) held(peer string, count func(*account) *int) (its, all int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if p := a.peers[peer]; p != nil {
		its = *count(p)
	}
	return its, a.sockets
}

// dial is one of a peer's connections that are not complete: the target has not answered, or the
// peer has not confirmed that it knows the answer.
type dial struct {
	peer   string
	to     netip.AddrPort // a proven target, or the address of an unproven one with port 0
	proven bool
}

// turn is a flow that waits until another one to the same target is complete.
type turn struct {
	peer  string
	to    netip.AddrPort
	ready chan struct{} // closed when the flow may try again
}

// takeDial reserves a dial. Targets that are not proven alive share three quarters of a peer's
// dials, and each address among them gets only a few. So any number of dead hosts leaves room for
// live ones. A proven target may have more dials, but never all. If only the target's share is
// taken, wait is not nil. was is the turn that the flow has waited for, or nil.
func (a *accounts) takeDial(peer string, target netip.AddrPort, proven bool, was *turn) (d dial, wait *turn, ok bool) {
	d = dial{peer: peer, to: target, proven: proven}
	most := max(a.max.Dials/4, 1)
	if !proven {
		d.to = netip.AddrPortFrom(target.Addr(), 0)
		most = a.max.DialsPerDead
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.open(peer)
	defer a.settle(peer, p)
	if was != nil && was.to != d.to {
		p.next(was.to) // the target's share has grown, or it has none any more
	}
	switch {
	case p.dials >= a.max.Dials || !proven && p.unproven >= max(a.max.Dials*3/4, 1):
		if was != nil && was.to == d.to {
			p.next(was.to)
		}
		return d, nil, false
	case p.dialsTo[d.to] < most && (was != nil || len(p.waiting[d.to]) == 0 || p.dialsTo[d.to] == 0):
		p.count(d, 1)
		return d, nil, true
	case p.waiters >= a.max.Dials:
		return d, nil, false
	}
	wait = &turn{peer: peer, to: d.to, ready: make(chan struct{})}
	p.waiting[d.to] = append(p.waiting[d.to], wait)
	p.waiters++
	return d, wait, false
}

// giveDial ends a dial and gives the next flow to the same target its turn.
func (a *accounts) giveDial(d dial) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.peers[d.peer]
	p.count(d, -1)
	p.next(d.to)
	a.settle(d.peer, p)
}

// proved is told that the target of a dial has answered. The dial counts as one to a proven target
// from now on.
func (a *accounts) proved(d dial, target netip.AddrPort) dial {
	if d.proven {
		return d
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.peers[d.peer]
	p.count(d, -1)
	p.next(d.to)
	d.to, d.proven = target, true
	p.count(d, 1)
	return d
}

// leave ends a turn that the flow does not wait for any more. If it was the flow's turn already,
// it is the next one's.
func (a *accounts) leave(t *turn) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.open(t.peer)
	queue := p.waiting[t.to]
	if i := slices.Index(queue, t); i >= 0 {
		p.setWaiting(t.to, slices.Delete(queue, i, i+1))
		p.waiters--
	} else {
		p.next(t.to)
	}
	a.settle(t.peer, p)
}

// next lets the flow that has waited longest for a target try again.
func (p *account) next(to netip.AddrPort) {
	queue := p.waiting[to]
	if len(queue) == 0 {
		return
	}
	close(queue[0].ready)
	p.setWaiting(to, queue[1:])
	p.waiters--
}

func (p *account) setWaiting(to netip.AddrPort, queue []*turn) {
	if len(queue) == 0 {
		delete(p.waiting, to)
		return
	}
	p.waiting[to] = queue
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
		p = &account{dialsTo: map[netip.AddrPort]int{}, waiting: map[netip.AddrPort][]*turn{}}
		a.peers[peer] = p
	}
	return p
}

// settle deletes an account that holds nothing. The caller holds mu.
func (a *accounts) settle(peer string, p *account) {
	if p.dials == 0 && p.waiters == 0 && p.sockets == 0 && p.conns == 0 && p.flows == 0 && p.pings == 0 && p.programs == 0 {
		delete(a.peers, peer)
	}
}

func conns(p *account) *int    { return &p.conns }
func flows(p *account) *int    { return &p.flows }
func pings(p *account) *int    { return &p.pings }
func programs(p *account) *int { return &p.programs }
func sockets(p *account) *int  { return &p.sockets }
