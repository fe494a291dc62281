package paths

import (
	"net/netip"
	"time"
)

const (
	// punchHops is the time to live of a probe that only opens NATs: enough for two
	// boxes on this side and the router behind them. See docs/paths.md.
	punchHops = 3

	// punchFor is how long the peer has to open its NAT and say so by a call. After that,
	// one round of probes later, this node goes on without knowing.
	punchFor = 300 * time.Millisecond

	// natLife is how long a NAT surely remembers an address that has answered: Linux
	// remembers it for two minutes.
	natLife = 110 * time.Second

	// calledFor is how long after the peer's call its NATs are known to be open.
	calledFor = time.Second
)

// startPunching notes that traffic begins after a pause. Some NATs take a packet that
// arrives before their own node has sent one for a connection of their own, and give the
// node another port for the answer, which nobody lets in. So the first probes open only
// the NATs on this side, and the peer is called; it opens its own NATs by real probes.
func (p *Peer) startPunching(now time.Duration) {
	if p.relay && (p.calls.received == 0 || now-p.calls.received > calledFor) {
		p.punching = now + punchFor
	}
}

// Premature reports whether a packet to addr could arrive before the peer has opened its
// NAT. The packet can take the relay meanwhile.
func (p *Peer) Premature(now time.Duration, addr netip.AddrPort) bool {
	if now >= p.punching || !p.behindNAT(addr.Addr()) {
		return false
	}
	c := p.candidates[addr]
	return c == nil || (c.answered == 0 || now-c.answered > natLife) && (c.seen == 0 || now-c.seen > natLife)
}

// behindNAT reports whether a NAT may stand before an address: the peer also has an
// address of a private network.
func (p *Peer) behindNAT(a netip.Addr) bool {
	if !a.Is4() || a.IsLoopback() || a.IsLinkLocalUnicast() {
		return false
	}
	for _, c := range p.candidates {
		if b := c.addr.Addr(); b != a && b.Is4() && b.IsPrivate() && (c.mapped || c.called) {
			return true
		}
	}
	return false
}

// punch sends a probe that opens the NATs on this side. A peer that is near enough
// answers it like any other.
func (p *Peer) punch(now time.Duration, out []Action, c *candidate) []Action {
	tx := p.newTx()
	p.pending[tx] = probe{c.addr, now}
	return append(out, Action{Kind: Ping, To: c.addr, Tx: tx, Hops: punchHops})
}
