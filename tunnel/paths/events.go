package paths

import (
	"net/netip"
	"slices"
	"time"
)

// SetCandidates takes the whole set of addresses that the network map has.
func (p *Peer) SetCandidates(now time.Duration, addrs []netip.AddrPort) []Action {
	added := p.replace(now, addrs, func(c *candidate) *bool { return &c.mapped })
	if !p.active(now) || p.trusted(now) {
		return nil
	}
	return p.pingAll(now, nil, added)
}

// replace makes addrs the candidates with one mark, and answers which are new.
func (p *Peer) replace(now time.Duration, addrs []netip.AddrPort, mark func(*candidate) *bool) (added []*candidate) {
	for _, c := range p.candidates {
		*mark(c) = false
	}
	for _, a := range addrs {
		c := p.candidates[a]
		if c == nil {
			if c = p.add(now, a); c == nil {
				continue
			}
			added = append(added, c)
		}
		*mark(c) = true
	}
	for a, c := range p.candidates {
		if !c.mapped && !c.called && c.seen == 0 && c != p.best {
			delete(p.candidates, a)
		}
	}
	return added
}

// add makes a candidate; if there are too many, one gives way that was only seen
// once, and is not the best.
func (p *Peer) add(now time.Duration, a netip.AddrPort) *candidate {
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

// SetRelay says whether the relay can be used.
func (p *Peer) SetRelay(now time.Duration, up bool) []Action {
	came := up && !p.relay
	p.relay = up
	if came && p.active(now) && !p.trusted(now) {
		p.round, p.nextRound = 0, now
	}
	return p.Tick(now)
}

// Traffic says that something is being sent to the peer, and when the last packet
// came from it by any way (0 = never). It is called again and again while traffic
// flows, not for every packet.
func (p *Peer) Traffic(now, heard time.Duration) []Action {
	if now-p.traffic > heartbeat {
		p.begun = now
	}
	if !p.active(now) { // what was learned about NATs is old
		p.round, p.nextRound, p.nextBetter = 0, now, now+betterEvery
		p.begin(now)
	}
	p.traffic = now
	if p.known == 0 {
		p.known = now
	}
	var out []Action
	if p.trusted(now) && now-p.begun > quietFor && now-max(heard, p.best.answered) > quietFor && now-p.best.asked >= p.retry() && p.best.missed < tries {
		out = p.ask(now, out)
	}
	return append(out, p.Tick(now)...)
}

// Source says which direct address the last authenticated packet came from, when
// that is another than before.
func (p *Peer) Source(now time.Duration, addr netip.AddrPort) []Action {
	if p.known == 0 {
		p.known = now
	}
	if addr == p.source {
		return nil
	}
	before := p.sourced
	p.source, p.sourced = addr, now
	c := p.see(now, addr)
	if c == nil || c == p.best {
		return nil
	}
	if c.answered != 0 && now-c.answered < heartbeat {
		if c.missed == 0 && p.trusted(now) && p.left(c, c.asked) {
			p.use(now, c)
		}
		return nil
	}
	out := p.ping(now, nil, c)
	if p.best != nil && (before == 0 || now-before > pingGap) { // both at once: who answers?
		out = p.ping(now, out, p.best)
	}
	return out
}

// Relayed says that the last authenticated packet came through the relay, when the
// one before it did not. The peer may have seen that the direct path is broken
// before this node could.
func (p *Peer) Relayed(now time.Duration) (out []Action) {
	if !p.trusted(now) || now-p.best.answered < freshPong {
		return nil
	}
	p.relayed = now
	if now-p.best.asked >= pingGap {
		out = p.ping(now, nil, p.best)
	}
	return out
}

// see notes that the peer is, or says it is, at an address.
func (p *Peer) see(now time.Duration, addr netip.AddrPort) *candidate {
	c := p.candidates[addr]
	if c == nil {
		if c = p.add(now, addr); c == nil {
			return nil
		}
	}
	c.seen = now
	return c
}

// Ping says that a probe of the peer's came; from is invalid if through the relay.
func (p *Peer) Ping(now time.Duration, from netip.AddrPort, tx TxID) []Action {
	p.heardProbe(now)
	out := []Action{{Kind: Pong, To: from, Tx: tx}}
	if !from.IsValid() {
		return out
	}
	c := p.see(now, from)
	if c == nil || c.back != 0 && now-c.back < pingGap {
		return out
	}
	fresh := c.answered != 0 && now-c.answered < trustFor
	if fresh || p.trusted(now) && p.best.missed == 0 && class(from.Addr()) >= class(p.best.addr.Addr()) {
		return out
	}
	c.back = now
	return p.ping(now, out, c)
}

func (p *Peer) heardProbe(now time.Duration) {
	p.capable = true
	if p.known == 0 {
		p.known = now
	}
}

// Asked says whether a probe with tx is under way.
func (p *Peer) Asked(tx TxID) bool {
	_, ok := p.pending[tx]
	return ok
}

// Pong says that an answer came. One that belongs to no probe under way changes
// nothing, and ok is false.
func (p *Peer) Pong(now time.Duration, tx TxID) (out []Action, ok bool) {
	probe, ok := p.pending[tx]
	if !ok || now-probe.at > pendingFor {
		return nil, false
	}
	delete(p.pending, tx)
	c := p.candidates[probe.to]
	if c == nil {
		return nil, false
	}
	p.heardProbe(now)
	rtt := max(now-probe.at, time.Microsecond)
	if c.answered == 0 || c.rtt == 0 {
		c.rtt = rtt
	} else {
		c.rtt = (3*c.rtt + rtt) / 4
	}
	c.answered, c.missed = now, 0
	if p.best == nil || !p.trusted(now) || c == p.best || better(c, p.best) || p.suspect(now) || p.left(c, probe.at) {
		p.use(now, c)
	}
	return p.Tick(now), true
}

// use makes an address that answers the path.
func (p *Peer) use(now time.Duration, c *candidate) {
	if !p.trusted(now) {
		p.nextBetter = now + betterEvery
	}
	p.best, p.doubted = c, 0
	p.round = 0
}

// left says whether the peer seems to have gone from the best address to c: its
// packets come from there, and the best was asked no later than c and is silent.
func (p *Peer) left(c *candidate, asked time.Duration) bool {
	return p.source == c.addr && p.best.missed > 0 && p.best.silent <= asked
}

// suspect says whether the best address is silent although it was asked again: then
// any other that answers will do.
func (p *Peer) suspect(now time.Duration) bool {
	return p.best != nil && p.best.missed > 1 && now-p.best.silent >= p.retry()
}

// Call says that the peer told, through the relay, where it may be probed now; its NATs
// are open. It is answered by another, after the probes that open ours, unless this node
// has called a moment ago, or two nodes would call each other for ever.
func (p *Peer) Call(now time.Duration, addrs []netip.AddrPort) (out []Action) {
	p.heardProbe(now)
	p.calledBy, p.early = now, 0
	p.replace(now, addrs, func(c *candidate) *bool { return &c.called })
	if p.trusted(now) { // the peer may be unable to use it: the new ones, and what opens our NAT again
		out = p.call(now, nil, heartbeat)
		return p.pingAll(now, out, p.sorted(func(c *candidate) bool { return c == p.best || c.called && c.answered == 0 }))
	}
	return p.call(now, p.pingAll(now, nil, p.sorted(nil)), heartbeat)
}

// NetworkChanged says that this host's addresses or routes are others than before,
// so no path is proved any more.
func (p *Peer) NetworkChanged(now time.Duration) []Action {
	if p.best != nil && p.doubted == 0 {
		p.doubted = now
	}
	p.round, p.nextRound = 0, now
	return p.Tick(now)
}

// Renew says that this node may be found elsewhere than before. A peer to which no path
// is proved is told, and one that was told a moment ago what is no longer true.
func (p *Peer) Renew(now time.Duration) []Action {
	switch {
	case !p.active(now):
		return nil
	case !p.trusted(now):
		p.round, p.nextRound = 0, now
		return p.Tick(now)
	case p.calledAt != 0 && now-p.calledAt < heartbeat:
		return p.call(now, nil, 0)
	}
	return nil
}

// Tick does what time alone makes due.
func (p *Peer) Tick(now time.Duration) (out []Action) {
	for tx, probe := range p.pending {
		if now-probe.at > pendingFor {
			delete(p.pending, tx)
		}
	}
	if !p.active(now) {
		return nil
	}
	if p.trusted(now) {
		if p.best.missed >= tries && now-p.best.asked >= p.retry() {
			p.doubted = now
			p.round, p.nextRound = 0, now
		} else {
			return p.hold(now)
		}
	}
	if now < p.nextRound {
		return nil
	}
	p.nextRound = now + p.pause()
	p.round++
	return p.search(now, out)
}

// hold keeps a good path, and looks for a better one from time to time.
func (p *Peer) hold(now time.Duration) (out []Action) {
	if now >= p.nextPing() {
		out = p.ask(now, out)
		if p.best.missed == tries { // while waiting for the last try, look around
			return p.search(now, out)
		}
	}
	if now >= p.nextBetter {
		p.nextBetter = now + betterEvery
		if p.best.rtt > goodEnough && class(p.best.addr.Addr()) > 2 {
			out = p.search(now, out)
		}
	}
	return out
}

// ask probes the best address. When it has to ask again, another that answered
// meanwhile becomes the best, or the peer is called: its NAT may have forgotten us, and
// only what it sends itself opens that. It may have nothing to send, waiting for us.
func (p *Peer) ask(now time.Duration, out []Action) []Action {
	if p.best.missed > 0 {
		silent := p.best.silent
		if others := p.sorted(func(c *candidate) bool { return c.missed == 0 && c.answered > silent }); len(others) > 0 {
			p.use(now, others[0])
		}
	}
	out = p.ping(now, out, p.best)
	if p.best.missed == 2 {
		out = p.call(now, out, 0)
	}
	return out
}

// call tells the peer where this node may be probed, unless that was done within gap.
func (p *Peer) call(now time.Duration, out []Action, gap time.Duration) []Action {
	if !p.relay || p.calledAt != 0 && now-p.calledAt < gap {
		return out
	}
	p.calledAt = now
	return append(out, Action{Kind: Call})
}

// search probes every candidate, and then asks the peer to do the same.
func (p *Peer) search(now time.Duration, out []Action) []Action {
	return p.call(now, p.pingAll(now, out, p.sorted(nil)), 0)
}

// pause is the time until the next round.
func (p *Peer) pause() time.Duration {
	switch {
	case p.round < len(rounds):
		return rounds[p.round]
	case !p.capable && p.source.IsValid():
		return roundsStock
	}
	return roundsLater
}

// pingAll probes those that were not probed a moment ago.
func (p *Peer) pingAll(now time.Duration, out []Action, cs []*candidate) []Action {
	for _, c := range cs {
		switch {
		case p.Early(now, c.addr):
			out = p.open(now, out, c)
		case c.asked == 0 || now-c.asked >= pingGap:
			out = p.ping(now, out, c)
		}
	}
	return out
}

func (p *Peer) ping(now time.Duration, out []Action, c *candidate) []Action {
	tx := p.newTx()
	p.pending[tx] = probe{c.addr, now}
	c.asked = now
	if c.missed == 0 {
		c.silent = now
	}
	c.missed++
	return append(out, Action{Kind: Ping, To: c.addr, Tx: tx})
}

// sorted are the candidates that match, those that promise most first.
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
