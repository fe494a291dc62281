package underlay

import (
	"context"
	"net/netip"
	"time"

	"nexd/tunnel/candidates"
	"nexd/tunnel/paths"
	"nexd/tunnel/reflexive"
)

// leastPause keeps the loop of Run from spinning.
const leastPause = 10 * time.Millisecond

// Run looks for paths to peers that have traffic, keeps the good ones alive, and asks
// STUN servers, until ctx ends. While Run does not run, only packets and probes drive
// the search for paths.
func (b *Bind) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-b.probes.wake:
		}
		timer.Reset(max(b.tick()-time.Duration(b.now()), leastPause))
	}
}

// tick does what is due and returns when to call it again.
func (b *Bind) tick() (next time.Duration) {
	now := time.Duration(b.now())
	next = now + time.Hour
	b.probes.mu.Lock()
	peers := make([]*peer, 0, len(b.probes.active))
	for p := range b.probes.active {
		peers = append(peers, p)
	}
	b.probes.mu.Unlock()
	active := false
	for _, p := range peers {
		at, ok := b.tickPeer(p, now)
		if ok {
			next, active = min(next, at), true
			continue
		}
		b.probes.mu.Lock()
		delete(b.probes.active, p)
		b.probes.mu.Unlock()
	}
	if at, ok := b.restIdle(now); ok {
		next = min(next, at)
	}
	return min(next, b.askSTUN(now, active))
}

// tickPeer ticks one state machine if it is due; false: nothing is due before the next
// traffic.
func (b *Bind) tickPeer(p *peer, now time.Duration) (time.Duration, bool) {
	if p.removed.Load() {
		return 0, false
	}
	p.way.mu.Lock()
	at, ok := p.way.paths.Next(now)
	p.way.mu.Unlock()
	if !ok || at > now {
		return at, ok
	}
	b.step(p, func(pp *paths.Peer, now time.Duration) []paths.Action {
		out := pp.Tick(now)
		at, ok = pp.Next(now)
		return out
	})
	return at, ok
}

// askSTUN sends the STUN requests that are due and reports a new result to OnMapped.
func (b *Bind) askSTUN(now time.Duration, active bool) (next time.Duration) {
	requests, next := b.stun.Requests(now, active)
	socks := b.net.socks.Load()
	for server, packet := range requests {
		if socks == nil {
			break
		}
		if _, err := socks.SendFrom([][]byte{packet}, server, netip.Addr{}, true); err != nil {
			b.logger.Debug("STUN request not sent", "addr", server, "err", err)
		}
	}
	if mapped, changed := b.stun.Changed(now); changed {
		b.logger.Info("public address", "addrs", mapped.Addrs, "mapping", mapped.Mapping, "answered", mapped.Answered, "blocked", mapped.Blocked)
		if b.onMapped != nil {
			b.onMapped(mapped)
		}
	}
	return next
}

// SetSTUN sets the STUN servers that tell this node's reflexive addresses.
func (b *Bind) SetSTUN(servers []netip.AddrPort) {
	b.stun.SetServers(candidates.Clean(servers))
	b.probes.poke()
}

// Mapped is the last result of STUN.
func (b *Bind) Mapped() reflexive.Mapped { return b.stun.Mapped() }
