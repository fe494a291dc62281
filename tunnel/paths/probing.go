package paths

import (
	"net/netip"
	"time"
)

// SetRelay reports whether the relay can be used.
func (p *Peer) SetRelay(now time.Duration, up bool) (out []Action) {
	came := up && !p.relay
	p.relay = up
	if came && p.mayRepeat(now) { // WireGuard repeats an initiation after 5 s only
		out = append(out, Action{Kind: Initiate})
	}
	if came && p.active(now) && !p.trusted(now) {
		p.search.round, p.search.next = 0, now
	}
	return append(out, p.Tick(now)...)
}

// Traffic reports that this node sends to the peer, and the moment of the last packet
// from the peer by any way (0 = never). The owner calls it repeatedly while traffic
// flows, not for every packet.
func (p *Peer) Traffic(now, heard time.Duration) []Action {
	p.wake(now)
	if now-p.traffic > heartbeat {
		p.begun = now
	}
	if !p.active(now) { // the NATs may have changed meanwhile
		p.search = search{next: now, better: now + betterEvery}
		p.startPunching(now)
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

// Moved reports the direct address of the last authenticated packet, when the one before
// came by another way.
func (p *Peer) Moved(now time.Duration, addr netip.AddrPort) []Action {
	p.wake(now)
	if p.known == 0 {
		p.known = now
	}
	p.source.relay = false
	if addr == p.source.addr {
		return nil
	}
	before := p.source.since
	p.source.addr, p.source.since = addr, now
	c := p.see(now, addr)
	if c == nil || c == p.best {
		return nil
	}
	if c.answered != 0 && now-c.answered < heartbeat {
		if c.missed == 0 && p.trusted(now) && p.left(c, c.asked) {
			p.use(now, c)
			return nil
		}
		if now-c.asked < pingGap {
			return nil
		}
	}
	out := p.ping(now, nil, c)
	if p.best != nil && (p.best.missed == 0 || before == 0 || now-before > pingGap) { // probe both and see which one answers
		out = p.ping(now, out, p.best)
	}
	return out
}

// MovedToRelay reports that the last authenticated packet came through the relay, when
// the one before did not. The peer may have noticed a broken path before this node.
func (p *Peer) MovedToRelay(now time.Duration) (out []Action) {
	p.wake(now)
	p.source.relay = true
	if !p.trusted(now) || now-p.best.answered < freshPong {
		return nil
	}
	p.avoided = now
	if now-p.best.asked >= pingGap {
		out = p.ping(now, nil, p.best)
	}
	return out
}

// Ping reports a probe of the peer; from is invalid if it came through the relay.
func (p *Peer) Ping(now time.Duration, from netip.AddrPort, tx TxID) []Action {
	p.wake(now)
	p.heardProbe(now)
	out := []Action{{Kind: Pong, To: from, Tx: tx}}
	out = p.offer(now, out, from)
	if !from.IsValid() {
		return out
	}
	c := p.see(now, from)
	if c == nil || c.back != 0 && now-c.back < pingGap {
		return out
	}
	fresh := c.answered != 0 && now-c.answered < trustFor
	if fresh || p.trusted(now) && p.best.missed == 0 && !p.maybeBetter(from.Addr()) {
		return out
	}
	c.back = now
	return p.ping(now, out, c)
}

// maybeBetter reports whether the address of a peer's probe may be better than a good path: by its
// class, or because the path is slow for one of a better class.
func (p *Peer) maybeBetter(a netip.Addr) bool {
	x, y := class(a), class(p.best.addr.Addr())
	return x < y || x > y && p.best.rtt > goodEnough
}

func (p *Peer) heardProbe(now time.Duration) {
	p.capable = true
	if p.known == 0 {
		p.known = now
	}
}

// Asked reports whether a probe with tx is under way.
func (p *Peer) Asked(tx TxID) bool {
	_, ok := p.pending[tx]
	return ok
}

// Pong reports an answer of the peer. An answer to no probe under way changes nothing,
// and ok is false.
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
	c.proved = max(c.proved, probe.at)
	p.sized(now, tx)
	if !p.data.reports {
		out = p.offer(now, out, c.addr)
	}
	if p.best == nil || !p.trusted(now) || c == p.best || better(c, p.best) || p.suspect(now) || p.left(c, probe.at) {
		p.use(now, c)
	}
	return append(out, p.Tick(now)...), true
}

// use makes a candidate the path.
func (p *Peer) use(now time.Duration, c *candidate) {
	if c.holed() {
		return
	}
	if c != p.best {
		p.data.begin()
	}
	if !p.trusted(now) {
		p.search.better = now + betterEvery
		if c.rtt > goodEnough { // a better one may need the call of the peer, or have lost its probe
			p.search.better = now + betterSoon
		}
	}
	if p.best != nil && c != p.best && better(p.best, c) { // left because it is silent, which may be a lost probe
		p.search.better = min(p.search.better, now+betterSoon)
	}
	p.best, p.doubted = c, 0
	p.search.round = 0
}

// left reports whether the peer seems to have moved from the best address to c: its
// packets come from c, and the best address was probed no later than c and is silent.
func (p *Peer) left(c *candidate, asked time.Duration) bool {
	return p.source.addr == c.addr && p.best.missed > 0 && p.best.silentSince <= asked
}

// suspect reports whether the best address stays silent after a second probe. Then any
// other address that answers replaces it.
func (p *Peer) suspect(now time.Duration) bool {
	return p.best != nil && p.best.missed > 1 && now-p.best.silentSince >= p.retry()
}

// Call reports that the peer said through the relay where it may be probed; its NATs are
// open. The answer is a call of this node, after the probes that open its own NATs,
// unless this node called a moment ago: otherwise two nodes would call each other for
// ever.
func (p *Peer) Call(now time.Duration, addrs []netip.AddrPort) (out []Action) {
	p.wake(now)
	p.heardProbe(now)
	p.calls.received, p.punching = now, 0
	p.replace(now, addrs, func(c *candidate) *bool { return &c.called })
	out = p.offer(now, out, netip.AddrPort{})
	if p.trusted(now) { // the peer may be unable to use the path: open our NAT again, and probe the new addresses
		out = p.call(now, out, heartbeat)
		return p.pingAll(now, out, p.sorted(func(c *candidate) bool { return c == p.best || c.called && c.answered == 0 }))
	}
	return p.call(now, p.pingAll(now, out, p.sorted(nil)), heartbeat)
}

// NetworkChanged reports that this host's addresses or routes changed, so that no path is
// proved any more.
func (p *Peer) NetworkChanged(now time.Duration) []Action {
	if p.AtRest() {
		return nil
	}
	if p.best != nil && p.doubted == 0 {
		p.doubted = now
	}
	for _, c := range p.candidates { // another network may carry other packets
		c.measured, c.recheck, c.hole = 0, 0, hole{}
	}
	p.data.begin()
	p.search.round, p.search.next = 0, now
	return p.Tick(now)
}

// Renew reports that this node's own addresses changed. It calls the peer if no path to it
// is proved, or if a call a moment ago named the old addresses.
func (p *Peer) Renew(now time.Duration) []Action {
	switch {
	case !p.active(now):
		return nil
	case !p.trusted(now):
		p.search.round, p.search.next = 0, now
		return p.Tick(now)
	case p.calls.sent != 0 && now-p.calls.sent < heartbeat:
		return p.call(now, nil, 0)
	}
	return nil
}

// Tick does what is due by time alone.
func (p *Peer) Tick(now time.Duration) (out []Action) {
	for tx, probe := range p.pending {
		if now-probe.at > pendingFor {
			delete(p.pending, tx)
		}
	}
	if !p.active(now) {
		return nil
	}
	return p.tickData(now, p.tickPath(now))
}

func (p *Peer) tickPath(now time.Duration) (out []Action) {
	if p.trusted(now) {
		if p.best.missed >= tries && now-p.best.asked >= p.retry() {
			p.doubted = now
			p.search.round, p.search.next = 0, now
		} else {
			return p.keep(now)
		}
	}
	if now < p.search.next {
		return nil
	}
	p.search.next = now + p.pause()
	p.search.round++
	return p.probeAll(now, out)
}

// keep probes a good path, and looks for a better one from time to time.
func (p *Peer) keep(now time.Duration) (out []Action) {
	if now >= p.nextPing() {
		out = p.ask(now, out)
		if p.best.missed == tries { // probe the others while the last try is under way
			return p.probeAll(now, out)
		}
	}
	if now >= p.search.better {
		p.search.better = now + betterEvery
		if p.knowsBetter() {
			p.search.better = now + betterAgain
		}
		if p.best.rtt > goodEnough {
			out = p.probeAll(now, out)
		}
	}
	return out
}

// knowsBetter reports whether an address that does not answer now was better when it did.
func (p *Peer) knowsBetter() bool {
	for _, c := range p.candidates {
		if c != p.best && c.rtt != 0 && c.missed > 0 && !c.holed() && better(c, p.best) {
			return true
		}
	}
	return false
}

// ask probes the best address. If the last probe is unanswered, another address that
// answered since becomes the best. After two unanswered probes it calls the peer: only
// packets that the peer sends open its NAT again, and it may have nothing to send.
func (p *Peer) ask(now time.Duration, out []Action) []Action {
	if p.best.missed > 0 {
		silent := p.best.silentSince
		if others := p.sorted(func(c *candidate) bool { return c.missed == 0 && c.answered > silent && !c.holed() }); len(others) > 0 {
			p.use(now, bestOf(others))
		}
	}
	out = p.ping(now, out, p.best)
	if p.best.missed == 2 {
		out = p.call(now, out, 0)
	}
	return out
}

// call tells the peer where this node may be probed, unless a call within gap did.
func (p *Peer) call(now time.Duration, out []Action, gap time.Duration) []Action {
	if !p.relay || p.calls.sent != 0 && now-p.calls.sent < gap {
		return out
	}
	p.calls.sent = now
	return append(out, Action{Kind: Call})
}

// probeAll probes every candidate, and then asks the peer to do the same.
func (p *Peer) probeAll(now time.Duration, out []Action) []Action {
	return p.call(now, p.pingAll(now, out, p.sorted(nil)), 0)
}

// pause is the time until the next round.
func (p *Peer) pause() time.Duration {
	switch {
	case p.search.round < len(rounds):
		return rounds[p.search.round]
	case !p.capable && p.source.addr.IsValid():
		return roundsStock
	}
	return roundsLater
}

// pingAll probes the candidates that were not probed a moment ago.
func (p *Peer) pingAll(now time.Duration, out []Action, cs []*candidate) []Action {
	for _, c := range cs {
		switch {
		case p.Premature(now, c.addr):
			out = p.punch(now, out, c)
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
		c.silentSince = now
	}
	c.missed++
	out = append(out, Action{Kind: Ping, To: c.addr, Tx: tx})
	return p.initiateWaiting(now, out, c.addr)
}
