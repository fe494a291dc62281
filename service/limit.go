package service

import (
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"nexd/control"
	"nexd/mesh"
)

// Calls that need no session are limited by address: a thousand agents behind
// one NAT may come back at once, a flood may not.
const (
	limitBurst   = 6000
	limitRate    = 200 // a second
	limitEntries = 10_000
)

// limiter gives every address, and every IPv6 /64, its own budget.
type limiter struct {
	now func() time.Time

	mu       sync.Mutex
	byAddr   map[netip.Prefix]*rate.Limiter
	overflow *rate.Limiter // for the addresses that no longer find room
}

func newLimiter(now func() time.Time) *limiter {
	return &limiter{now: now, byAddr: map[netip.Prefix]*rate.Limiter{}, overflow: rate.NewLimiter(limitRate, limitBurst)}
}

func (l *limiter) allow(a netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.of(a).AllowN(l.now(), 1)
}

// of is the budget of an address. Called with mu held.
func (l *limiter) of(a netip.Addr) *rate.Limiter {
	key := mesh.HostPrefix(a)
	if a.Is6() {
		key = netip.PrefixFrom(a, 64).Masked()
	}
	if b, ok := l.byAddr[key]; ok {
		return b
	}
	if len(l.byAddr) >= limitEntries {
		l.prune()
	}
	if len(l.byAddr) >= limitEntries {
		return l.overflow
	}
	b := rate.NewLimiter(limitRate, limitBurst)
	l.byAddr[key] = b
	return b
}

// prune forgets the budgets that are full again. Called with mu held.
func (l *limiter) prune() {
	now := l.now()
	for key, b := range l.byAddr {
		if b.TokensAt(now) >= limitBurst {
			delete(l.byAddr, key)
		}
	}
}

// limited refuses a call when its address has used up its budget.
func limited(l *limiter, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case control.PathChallenge, control.PathRegister, control.PathSession, control.PathDeviceLogin, control.PathDeviceToken, control.PathRelay:
			if c := callerOf(r.Context()); !l.allow(c.addr) {
				w.Header().Set("Retry-After", "5")
				writeProblem(w, control.ProblemOf(mesh.Errorf(mesh.Exhausted, "service: too many calls from %v; wait a few seconds", c.addr)))
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}
