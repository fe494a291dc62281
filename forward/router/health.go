package router

import (
	"net/netip"
	"sync"
	"time"
)

const (
	provenFor  = 30 * time.Second // how long a target counts as alive after it answered
	suspectFor = time.Minute      // how long a dead target gets one dial at a time
	maxHealth  = 4096             // entries of either map
	slowDial   = 3 * time.Second  // a dial that the client abandons after this long counts as timed out
)

// health remembers which targets answered and which did not, so that a scan of dead hosts does not
// use up dials and sockets. A target is an address with a port, since a firewall may drop packets
// to one port and not to another.
//
//	unknown ──answered──▶ proven
//	   │
//	   └──timed out, unreachable──▶ dead ──deadFor──▶ suspect: one dial decides
type health struct {
	deadFor time.Duration

	mu     sync.Mutex
	proven map[netip.AddrPort]time.Time // until when
	dead   map[netip.AddrPort]*deadTarget
}

type deadTarget struct {
	outcome outcome   // of the last dial
	retry   time.Time // when it may be dialled again
	forget  time.Time // when it counts as unknown again
	probing bool      // a dial is under way to find out
}

func newHealth(deadFor time.Duration) *health {
	return &health{deadFor: deadFor, proven: map[netip.AddrPort]time.Time{}, dead: map[netip.AddrPort]*deadTarget{}}
}

// ask reports whether to dial a target and whether it is proven alive. If it is not to be dialled,
// last is the outcome of the last dial. The caller reports the outcome of every dial.
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
	if g.probing || now.Before(g.retry) {
		return g.outcome, false, proven
	}
	g.probing = true
	return 0, true, proven
}

// report records the outcome of a dial and how long it took.
func (h *health) report(target netip.AddrPort, o outcome, took time.Duration) {
	now := time.Now()
	if o == abandoned && took >= slowDial {
		o = timedOut
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch o {
	case connected, refused:
		delete(h.dead, target)
		makeRoom(h.proven, func(until time.Time) bool { return now.After(until) })
		h.proven[target] = now.Add(provenFor)
	case timedOut, noHost, noNet:
		if h.proven[target].Add(-provenFor).After(now.Add(-took)) {
			return // it answered another dial meanwhile: it is slow, not dead
		}
		delete(h.proven, target)
		wait := h.deadFor
		if o != timedOut {
			wait = wait * 2 / 5 // this outcome comes quickly, so a dial costs little
		}
		makeRoom(h.dead, func(g *deadTarget) bool { return now.After(g.forget) })
		h.dead[target] = &deadTarget{outcome: o, retry: now.Add(wait), forget: now.Add(suspectFor)}
	default: // the outcome says nothing about the target
		if g := h.dead[target]; g != nil {
			g.probing = false
		}
	}
}

// makeRoom keeps a map below maxHealth. A full map loses the entries for which over is true, and a
// quarter of its entries at least, so that not every insertion has to make room.
func makeRoom[K comparable, V any](m map[K]V, over func(V) bool) {
	if len(m) < maxHealth {
		return
	}
	for k, v := range m {
		if over(v) {
			delete(m, k)
		}
	}
	for k := range m { // any entry: to forget it costs one dial
		if len(m) <= maxHealth*3/4 {
			return
		}
		delete(m, k)
	}
}
