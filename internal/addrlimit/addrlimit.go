package addrlimit

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// entries bounds the table, and so its memory: some 200 bytes for each.
const entries = 10_000

// Limiter gives every source its own budget. Make it with New; its methods may be
// called from several goroutines.
type Limiter struct {
	now   func() time.Time
	rate  rate.Limit
	burst int

	mu       sync.Mutex
	bySource map[netip.Prefix]*rate.Limiter
	overflow *rate.Limiter // shared by the sources that find no room
}

// New makes a limiter: burst at once, then one more per interval.
func New(now func() time.Time, interval time.Duration, burst int) *Limiter {
	r := rate.Every(interval)
	return &Limiter{now: now, rate: r, burst: burst, bySource: map[netip.Prefix]*rate.Limiter{}, overflow: rate.NewLimiter(r, burst)}
}

// Allow reports whether an address may do it once more now, and counts it if so. The
// zero Addr is a source like any other.
func (l *Limiter) Allow(a netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.of(Source(a)).AllowN(l.now(), 1)
}

// of is the bucket of a source. Called with mu held.
func (l *Limiter) of(source netip.Prefix) *rate.Limiter {
	if b, ok := l.bySource[source]; ok {
		return b
	}
	if len(l.bySource) >= entries {
		l.prune()
	}
	if len(l.bySource) >= entries {
		return l.overflow
	}
	b := rate.NewLimiter(l.rate, l.burst)
	l.bySource[source] = b
	return b
}

// prune forgets the buckets that are full again. Called with mu held.
func (l *Limiter) prune() {
	now := l.now()
	for source, b := range l.bySource {
		if b.TokensAt(now) >= float64(l.burst) {
			delete(l.bySource, source)
		}
	}
}

// Source is what counts as one source: an IPv4 address, or an IPv6 /64.
func Source(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		return netip.PrefixFrom(a, 64).Masked()
	}
	return netip.PrefixFrom(a, a.BitLen())
}
