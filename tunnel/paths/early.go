package paths

import (
	"net/netip"
	"time"
)

const (
	// fewHops is how far a probe goes that only opens NATs: through two boxes of this
	// side's, and not beyond the router behind them. See docs/paths.md.
	fewHops = 3

	// earlyFor is how long the peer is given to open its NAT, which it says by a call.
	// Then, a round of probes later, we go on without knowing.
	earlyFor = 300 * time.Millisecond

	// natLife is how long a NAT surely remembers an address that has answered: Linux
	// does for two minutes.
	natLife = 110 * time.Second

	// calledFor is how long after a call of the peer's its NATs are known to be open.
	calledFor = time.Second
)

// begin notes that traffic begins after a pause. Some NATs take a packet that comes
// before their own node has sent one for their own, and give the node another port to
// answer from, which leads nowhere. So at first our NATs are opened by probes that do
// not get as far as the peer's, and the peer is called; it opens its own by real ones.
func (p *Peer) begin(now time.Duration) {
	if p.relay && (p.calledBy == 0 || now-p.calledBy > calledFor) {
		p.early = now + earlyFor
	}
}

// Early says whether a packet to addr could come too early for the peer's NAT.
// Whatever it is, it can go through the relay meanwhile.
func (p *Peer) Early(now time.Duration, addr netip.AddrPort) bool {
	if now >= p.early || !p.behindNAT(addr.Addr()) {
		return false
	}
	c := p.candidates[addr]
	return c == nil || (c.answered == 0 || now-c.answered > natLife) && (c.seen == 0 || now-c.seen > natLife)
}

// behindNAT says whether a NAT may stand before an address: the peer has one of a
// private network besides.
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

// open sends a probe that opens the NATs of this side. A peer that is near enough
// answers it like any other.
func (p *Peer) open(now time.Duration, out []Action, c *candidate) []Action {
	tx := p.newTx()
	p.pending[tx] = probe{c.addr, now}
	return append(out, Action{Kind: Ping, To: c.addr, Tx: tx, Hops: fewHops})
}
