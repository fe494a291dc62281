package underlay

import (
	"bytes"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"nexd/mesh"
	"nexd/tunnel/disco"
)

const (
	// sourcesKept bounds the endpoints cached for one peer. Anybody who has seen
	// a packet can make us cache one more.
	sourcesKept = 32

	// freshFor is how long a path counts as alive after something came from it.
	// WireGuard lets a peer be silent for 10 s while it receives.
	freshFor = int64(12 * time.Second)

	// initiationLife is how long an initiation may be sent again to addresses
	// that become known later: WireGuard makes a new one after 5 s.
	initiationLife = int64(5 * time.Second)
)

// peer is what the underlay knows of a node.
type peer struct {
	key     mesh.Key
	removed atomic.Bool
	path    atomic.Pointer[endpoint] // the last authenticated source Send was given
	last    atomic.Pointer[endpoint] // of the last packet, to spare the map
	stray   atomic.Int64             // moment of the last OnStray
	rtt     atomic.Int64

	secret atomic.Pointer[[32]byte] // agreed on by its key and ours; nil until needed

	hint    disco.Hint // of its probes to this node
	probe   atomic.Pointer[prober]
	route   atomic.Pointer[route] // nil = as WireGuard says
	touchAt atomic.Int64          // moment from which the prober wants to hear of traffic
	relayed *endpoint             // the peer through the relay

	indices []uint32 // guarded by indexTable.mu
	turn    uint64   // of SetPeers that named it; guarded by Bind.mu

	mu         sync.Mutex // guards what follows
	candidates []netip.AddrPort
	sources    map[netip.AddrPort]*endpoint
	since      int64            // moment the path became this address
	asked      int64            // moment of the last initiation
	unanswered int              // initiations before it that nothing came back to
	initiation []byte           // the last one
	held       []netip.AddrPort // where it was not sent, as too early
	response   int64            // moment of the last one
	latest     stamp            // of the initiations from it
}

// order is above 0 if an initiation is later than all that were let in, and below if
// it is older than one of them; a copy of the latest is neither.
func (p *peer) order(at stamp) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return bytes.Compare(at[:], p.latest[:])
}

// note keeps the time of an initiation. It outlives the peer in WireGuard, or old
// messages could be played back to a new one.
func (p *peer) note(at stamp) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if bytes.Compare(at[:], p.latest[:]) > 0 {
		p.latest = at
	}
}

// rest gives back what only a peer with traffic needs.
func (p *peer) rest() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e := p.path.Load(); e != nil && !e.addr.IsValid() {
		p.path.Store(nil)
	}
	p.last.Store(nil)
	p.secret.Store(nil)
	p.sources, p.initiation, p.held, p.asked, p.unanswered, p.response = nil, nil, nil, 0, 0, 0
}

// endpoint is the cached endpoint of the peer at addr.
func (p *peer) endpoint(addr netip.AddrPort) *endpoint {
	if e := p.last.Load(); e != nil && e.addr == addr {
		return e
	}
	e := p.cached(addr)
	p.last.Store(e)
	return e
}

// cached is the same for an address from which nothing came just now.
func (p *peer) cached(addr netip.AddrPort) *endpoint {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.sources[addr]
	if e == nil {
		if p.sources == nil || len(p.sources) >= sourcesKept {
			p.sources = make(map[netip.AddrPort]*endpoint, 1)
			if path := p.path.Load(); path != nil && path.addr.IsValid() { // keeps what is known of the path
				p.sources[path.addr] = path
			}
		}
		if e = p.sources[addr]; e == nil {
			e = &endpoint{key: p.key, addr: addr}
			e.owner.Store(p)
			p.sources[addr] = e
		}
	}
	return e
}

// moved notes that e is the last authenticated source. It says whether the
// address is another than before.
func (p *peer) moved(e *endpoint, now int64) (from netip.AddrPort, changed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if old := p.path.Swap(e); old != nil {
		from = old.addr
	}
	if from == e.addr {
		return from, false
	}
	p.since = now
	return from, true
}

// ask notes an initiation and answers where it should go. e is what WireGuard
// holds for the path. The peer takes the copy that arrives first and answers to
// its source, so a place that only leads there can win every time; therefore
// another place comes first after each attempt.
func (p *peer) ask(e *endpoint, packet []byte, now int64) []netip.AddrPort {
	p.mu.Lock()
	defer p.mu.Unlock()
	heard := e.heard.Load()
	fresh := heard != 0 && now-heard < freshFor && heard > p.asked
	if p.asked != 0 && now-p.asked < 2*initiationLife && heard <= p.asked {
		p.unanswered++
	} else {
		p.unanswered = 0
	}
	p.asked = now
	p.initiation = append(p.initiation[:0], packet...)
	if !e.addr.IsValid() {
		if path := p.path.Load(); path != nil { // WireGuard forgot it, we did not
			e = path
		}
	}
	targets := make([]netip.AddrPort, 0, MaxCandidates+1)
	if e.addr.IsValid() {
		targets = append(targets, e.addr)
		if fresh {
			return targets
		}
	}
	for _, c := range p.candidates {
		if c != e.addr {
			targets = append(targets, c)
		}
	}
	if n := len(targets); n > 1 {
		first := p.unanswered % n
		targets = append(targets[first:], targets[:first]...)
	}
	return targets
}

// answersAgain notes a response. It says whether there was one a moment ago, which
// therefore did not arrive.
func (p *peer) answersAgain(now int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := p.response
	p.response = now
	return last != 0 && now-last < 2*initiationLife
}

// retrying says whether the initiation before the last one was not answered.
func (p *peer) retrying() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.unanswered > 0
}

// heard is the moment of the last packet from the peer, by the last address or the
// relay.
func (p *peer) heard() int64 {
	var at int64
	if e := p.last.Load(); e != nil {
		at = e.heard.Load()
	}
	return max(at, p.relayed.heard.Load())
}

// has says whether its candidates are these.
func (p *peer) has(c []netip.AddrPort) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Equal(p.candidates, c)
}

// setCandidates replaces the candidates. If an initiation is still waiting for
// its answer, it comes back with the addresses it has not been sent to.
func (p *peer) setCandidates(c []netip.AddrPort, now int64) (added []netip.AddrPort, waiting []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	old := p.candidates
	p.candidates = c
	if p.asked == 0 || now-p.asked > initiationLife {
		return nil, nil
	}
	if last := p.last.Load(); last != nil && last.heard.Load() > p.asked {
		return nil, nil // answered
	}
	for _, a := range c {
		if !slices.Contains(old, a) {
			added = append(added, a)
		}
	}
	return added, slices.Clone(p.initiation)
}

// clean brings candidates into the one form they are compared in, and drops what
// is no address to send to, or there twice, or too many. If nothing is to be done
// it answers in itself.
func clean(in []netip.AddrPort) []netip.AddrPort {
	n := 0
	for n < len(in) && n < MaxCandidates && sendable(in[n]) && in[n].Addr().Unmap() == in[n].Addr() && !slices.Contains(in[:n], in[n]) {
		n++
	}
	if n == len(in) {
		return in
	}
	out := slices.Clone(in[:n])
	for _, c := range in[n:] {
		c = netip.AddrPortFrom(c.Addr().Unmap(), c.Port())
		if sendable(c) && len(out) < MaxCandidates && !slices.Contains(out, c) {
			out = append(out, c)
		}
	}
	return out
}

func sendable(c netip.AddrPort) bool {
	a := c.Addr().Unmap()
	return a.IsValid() && !a.IsUnspecified() && !a.IsMulticast() && c.Port() != 0
}
