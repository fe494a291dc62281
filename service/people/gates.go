package people

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"nexd/mesh"
)

// gate gives every address, and every IPv6 /64, a budget of tries at this replica.
// What it cannot remember shares one budget.
type gate struct {
	now   func() time.Time
	every time.Duration
	burst int

	mu    sync.Mutex
	addrs map[netip.Prefix]*rate.Limiter
	rest  *rate.Limiter
}

const gateEntries = 10_000

func newGate(now func() time.Time, every time.Duration, burst int) *gate {
	return &gate{now: now, every: every, burst: burst, addrs: map[netip.Prefix]*rate.Limiter{}, rest: rate.NewLimiter(rate.Every(every), burst)}
}

// pass takes one try of an address's budget.
func (g *gate) pass(a netip.Addr, doing string) error {
	g.mu.Lock()
	ok := g.of(a).AllowN(g.now(), 1)
	g.mu.Unlock()
	if ok {
		return nil
	}
	return later(g.every, "too many tries to %s from %v; wait a little", doing, a)
}

// of is the budget of an address. Called with mu held.
func (g *gate) of(a netip.Addr) *rate.Limiter {
	key := placeOf(a)
	if l, ok := g.addrs[key]; ok {
		return l
	}
	if len(g.addrs) >= gateEntries {
		now := g.now()
		for k, l := range g.addrs {
			if l.TokensAt(now) >= float64(g.burst) {
				delete(g.addrs, k)
			}
		}
	}
	if len(g.addrs) >= gateEntries {
		return g.rest
	}
	l := rate.NewLimiter(rate.Every(g.every), g.burst)
	g.addrs[key] = l
	return l
}

// placeOf is an address, or the IPv6 /64 it is in: what one subscriber has.
func placeOf(a netip.Addr) netip.Prefix {
	if a.Is6() {
		return netip.PrefixFrom(a, 64).Masked()
	}
	return mesh.HostPrefix(a)
}
