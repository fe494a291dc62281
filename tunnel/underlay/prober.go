package underlay

import (
	"crypto/rand"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"nexd/tunnel/disco"
	"nexd/tunnel/paths"
)

const (
	// What one peer may make us open and answer. A round of its probes is 40 at most.
	discoPerSecond = 50
	discoAtOnce    = 150

	// proberLife is how long a prober is kept that nothing moves, of a peer that
	// WireGuard does not have. Of one that it has, Forget ends the prober.
	proberLife = 10 * time.Minute
)

// prober finds the path to one peer: it carries out what the state machine says.
type prober struct {
	pair  *disco.Pair
	limit *rate.Limiter
	moved atomic.Int64 // moment of the last step

	mu     sync.Mutex // guards what follows
	paths  *paths.Peer
	window disco.Window
	told   paths.Path // the last one in the log
}

// prober is the peer's, made when first needed; nil if the peer's key is no good.
func (b *Bind) prober(p *peer) *prober {
	if pr := p.probe.Load(); pr != nil {
		return pr
	}
	pr := b.newProber(p)
	if pr == nil {
		return nil
	}
	return b.keep(p, pr)
}

// newProber makes a prober for a peer, which does not have it yet.
func (b *Bind) newProber(p *peer) *prober {
	pair, err := disco.NewPair(b.private, p.key)
	if err != nil {
		b.logger.Debug("peer cannot be probed", "peer", p.key.Short(), "err", err)
		return nil
	}
	return &prober{pair: pair, limit: rate.NewLimiter(discoPerSecond, discoAtOnce)}
}

// keep gives a peer its prober, unless it has got one meanwhile.
func (b *Bind) keep(p *peer, pr *prober) *prober {
	pr.paths = paths.New(func() (id paths.TxID) { rand.Read(id[:]); return id })
	now := time.Duration(b.now())
	pr.moved.Store(int64(now))
	pr.paths.SetRelay(now, b.relay != nil && b.relay.up.Load())
	p.mu.Lock()
	pr.paths.SetCandidates(now, p.candidates)
	p.mu.Unlock()
	if e := p.path.Load(); e != nil && e.addr.IsValid() {
		pr.paths.Source(now, e.addr)
	}
	if !b.probes.add(p, pr) {
		return b.prober(p)
	}
	// What changed since was told to those that were there.
	pr.mu.Lock()
	actions := pr.paths.SetRelay(now, b.relay != nil && b.relay.up.Load())
	p.mu.Lock()
	actions = append(actions, pr.paths.SetCandidates(now, p.candidates)...)
	p.mu.Unlock()
	pr.mu.Unlock()
	b.do(p, pr, actions)
	return pr
}

// add makes pr the prober of a peer; false if it has one.
func (x *probes) add(p *peer, pr *prober) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !p.probe.CompareAndSwap(nil, pr) {
		return false
	}
	x.made[p] = true
	return true
}

// knownProber is the prober that opens a packet which claims to be p's. A peer
// without one gets it only if the packet is the peer's: that costs a key agreement,
// so there is a budget for it.
func (b *Bind) knownProber(p *peer, packet []byte, src netip.AddrPort, via *peer) *prober {
	pr := p.probe.Load()
	if pr != nil {
		return pr
	}
	if !b.mayOpen(src) && (via == nil || !b.reserve.Allow()) {
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

// endProbers ends those that nothing moved for long: peers may probe this node
// without ever speaking to it. It answers when to look again.
func (b *Bind) endProbers(now time.Duration) (next time.Duration, ok bool) {
	for _, p := range b.probes.all() {
		pr := p.probe.Load()
		switch {
		case p.removed.Load() || pr == nil:
			b.probes.forget(p)
		case b.indices.has(p): // in WireGuard
		case now-time.Duration(pr.moved.Load()) >= proberLife:
			b.probes.forget(p)
		default:
			next, ok = now+proberLife, true
		}
	}
	return next, ok
}
