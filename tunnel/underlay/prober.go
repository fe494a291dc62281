package underlay

import (
	"net/netip"
	"time"

	"golang.org/x/time/rate"

	"nexd/tunnel/disco"
)

const (
	// The rate of probes that one peer may make this node open and answer. A round of
	// probes is 40 at most.
	discoPerSecond = 50
	discoAtOnce    = 150

	// awakeLife is how long a peer without events stays awake while WireGuard does not
	// have it. Forget puts a peer to rest that WireGuard has.
	awakeLife = 10 * time.Minute
)

// prober seals and opens the probes that this node and a peer exchange.
type prober struct {
	pair   *disco.Pair
	limit  *rate.Limiter
	window disco.Window // of the peer's messages; guarded by way.mu
}

// prober is the peer's prober, made on first use; nil if the peer's key is invalid.
func (b *Bind) prober(p *peer) *prober {
	if pr := p.prober.Load(); pr != nil {
		return pr
	}
	pr := b.newProber(p)
	if pr == nil {
		return nil
	}
	return b.keep(p, pr)
}

// newProber makes a prober. keep gives it to the peer.
func (b *Bind) newProber(p *peer) *prober {
	pair, err := disco.NewPair(b.private, p.key)
	if err != nil {
		b.logger.Debug("peer cannot be probed", "peer", p.key.Short(), "err", err)
		return nil
	}
	return &prober{pair: pair, limit: rate.NewLimiter(discoPerSecond, discoAtOnce)}
}

// keep gives a peer its prober, unless the peer has got one meanwhile.
func (b *Bind) keep(p *peer, pr *prober) *prober {
	if !p.prober.CompareAndSwap(nil, pr) {
		if other := p.prober.Load(); other != nil {
			return other
		}
	}
	p.stepped.Store(b.now())
	b.probes.watch(p, false)
	return pr
}

// knownProber is the prober that opens a packet which claims to be p's. A peer without a
// prober gets one only if the packet is the peer's. Finding that out costs a key
// agreement, so it has a budget.
func (b *Bind) knownProber(p *peer, packet []byte, src netip.AddrPort, via *peer) *prober {
	pr := p.prober.Load()
	if pr != nil {
		return pr
	}
	if !b.mayOpen(src) && (via == nil || !b.handshakes.reserve.Allow()) {
		b.counters.probesLimited.Add(1)
		return nil
	}
	if pr = b.newProber(p); pr == nil {
		return nil
	}
	if _, ok := pr.pair.Open(packet); !ok {
		b.counters.probesForged.Add(1)
		return nil
	}
	return b.keep(p, pr)
}

// restIdle puts peers to rest that had no event for long: a peer may probe this node
// without ever speaking to it. It returns when to look again.
func (b *Bind) restIdle(now time.Duration) (next time.Duration, ok bool) {
	for _, p := range b.probes.all() {
		switch {
		case p.removed.Load():
			b.probes.forget(p)
		case b.indices.has(p): // in WireGuard
		case now-time.Duration(p.stepped.Load()) >= awakeLife:
			b.probes.forget(p)
		default:
			next, ok = now+awakeLife, true
		}
	}
	return next, ok
}
