package router

import (
	"net/netip"
	"sync"
	"time"
)

const (
	provenFor  = 30 * time.Second // how long a target that answered counts as alive
	suspectFor = time.Minute      // how long a dead one is tried by one dial at a time
	maxHealth  = 4096             // entries of either map
	slowDial   = 3 * time.Second  // a dial abandoned after this long counts as silence
)

// health remembers which targets answered and which did not, so that a scan of
// dead hosts does not hold dials and sockets. A target is an address with its
// port, since a firewall may be silent about one and not about another.
//
//	unknown ──answered──▶ proven
//	   │
//	   └──silent, unreachable──▶ dead ──a while──▶ suspect: one dial decides
type health struct {
	deadFor time.Duration

	mu     sync.Mutex
	proven map[netip.AddrPort]time.Time // until when
	dead   map[netip.AddrPort]*grave
}

type grave struct {
	said    outcome
	again   time.Time // when it may be dialled again
	forget  time.Time
	probing bool // a dial is on its way to find out
}

func newHealth(deadFor time.Duration) *health {
	return &health{deadFor: deadFor, proven: map[netip.AddrPort]time.Time{}, dead: map[netip.AddrPort]*grave{}}
}

// ask says whether to dial. If not, last is what the target said the last time.
// Every ask that says yes is followed by one report.
func (h *health) ask(target netip.AddrPort) (last outcome, dial, proven bool) {
	now := time.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	proven = now.Before(h.proven[target])
	g := h.dead[target]
	if g == nil {
		return 0, true, proven
	}
	if now.After(g.forget) && !g.probing {
		delete(h.dead, target)
		return 0, true, proven
	}
	if g.probing || now.Before(g.again) {
		return g.said, false, proven
	}
	g.probing = true
	return 0, true, proven
}

// report tells what a dial of length took came to.
func (h *health) report(target netip.AddrPort, o outcome, took time.Duration) {
	now := time.Now()
	if o == abandoned && took >= slowDial {
		o = silent
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch o {
	case connected, refused:
		delete(h.dead, target)
		makeRoom(h.proven, func(until time.Time) bool { return now.After(until) })
		h.proven[target] = now.Add(provenFor)
	case silent, noHost, noNet:
		delete(h.proven, target)
		rest := h.deadFor
		if o != silent {
			rest = rest * 2 / 5 // finding that out is quick and costs little
		}
		makeRoom(h.dead, func(g *grave) bool { return now.After(g.forget) })
		h.dead[target] = &grave{said: o, again: now.Add(rest), forget: now.Add(suspectFor)}
	default: // nothing learned
		if g := h.dead[target]; g != nil {
			g.probing = false
		}
	}
}

// makeRoom keeps a map below maxHealth. A full one loses what is over, and a
// quarter at least, so that room is not made for every entry.
func makeRoom[K comparable, V any](m map[K]V, over func(V) bool) {
	if len(m) < maxHealth {
		return
	}
	for k, v := range m {
		if over(v) {
			delete(m, k)
		}
	}
	for k := range m { // any will do: forgetting costs one dial
		if len(m) <= maxHealth*3/4 {
			return
		}
		delete(m, k)
	}
}
