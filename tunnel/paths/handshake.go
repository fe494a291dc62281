package paths

import (
	"net/netip"
	"slices"
	"time"
)

const (
	// freshFor is how long a source counts as alive after a packet from it. WireGuard
	// lets a receiving peer be silent for 10 s.
	freshFor = 12 * time.Second

	// InitiationLife is how long an initiation may be sent again, to addresses that
	// become known later: WireGuard makes a new one after 5 s.
	InitiationLife = 5 * time.Second
)

// handshake is the state of WireGuard's handshakes with the peer.
type handshake struct {
	initiated  time.Duration    // moment of the last initiation; 0 = never
	unanswered int              // initiations before it that nothing came back to
	waiting    []netip.AddrPort // addresses that get the initiation with the next probe
	responded  time.Duration    // moment of the last response
}

// Initiation says where an initiation goes.
type Initiation struct {
	To    []netip.AddrPort
	Relay bool
	// Later are addresses where the initiation could reach the peer's NAT too early. The
	// owner sends it there only if the relay does not take it, and calls Postpone
	// otherwise.
	Later []netip.AddrPort
}

// Initiate plans an initiation that WireGuard sends now. heard is the moment of the last
// packet from the peer by any way, and fromSource that of the last one by the way of its
// last authenticated packet; 0 = never.
//
// The peer answers the copy that arrives first, to the source of that copy. An address
// from which packets reach the peer but to which no answer comes back could win every
// time, so another address comes first after each attempt.
func (p *Peer) Initiate(now, heard, fromSource time.Duration) (Initiation, []Action) {
	h := &p.handshake
	fresh := !p.source.relay && fromSource != 0 && now-fromSource < freshFor && fromSource > h.initiated
	if h.initiated != 0 && now-h.initiated < 2*InitiationLife && fromSource <= h.initiated {
		h.unanswered++
	} else {
		h.unanswered = 0
	}
	h.initiated, h.waiting = now, nil
	out := p.Traffic(now, heard)
	path := p.Path(now)
	if path.Proved && h.unanswered == 0 {
		return Initiation{To: []netip.AddrPort{path.Direct}}, out
	}
	to := make([]netip.AddrPort, 0, len(p.mapped)+2)
	if p.source.addr.IsValid() {
		to = append(to, p.source.addr)
	}
	if !fresh || len(to) == 0 {
		for _, a := range p.mapped {
			if a != p.source.addr {
				to = append(to, a)
			}
		}
		if n := len(to); n > 1 {
			first := h.unanswered % n
			to = append(slices.Clone(to[first:]), to[:first]...)
		}
	}
	if path.Direct.IsValid() && !slices.Contains(to, path.Direct) {
		to = append(to, path.Direct)
	}
	plan := Initiation{Relay: p.relay}
	for _, a := range to {
		if p.relay && p.Premature(now, a) {
			plan.Later = append(plan.Later, a)
		} else {
			plan.To = append(plan.To, a)
		}
	}
	return plan, out
}

// Postpone has the last initiation sent to these addresses with the first probe that may
// reach the peer's NAT, unless it was answered by then.
func (p *Peer) Postpone(addrs []netip.AddrPort) { p.handshake.waiting = addrs }

// Respond notes that WireGuard sends a response now. It reports whether WireGuard sent
// one a moment ago, which therefore did not arrive.
func (p *Peer) Respond(now time.Duration) (repeated bool) {
	last := p.handshake.responded
	p.handshake.responded = now
	return last != 0 && now-last < 2*InitiationLife
}

// mayRepeat reports whether the last initiation may be sent again.
func (p *Peer) mayRepeat(now time.Duration) bool {
	at := p.handshake.initiated
	return at != 0 && now-at <= InitiationLife
}

// initiateAt sends the last initiation again to the candidates of the map that match.
func (p *Peer) initiateAt(now time.Duration, out []Action, match func(netip.AddrPort) bool) []Action {
	if !p.mayRepeat(now) {
		return out
	}
	for _, a := range p.mapped {
		switch {
		case !match(a):
		case p.Premature(now, a):
			p.handshake.waiting = append(p.handshake.waiting, a)
		default:
			out = append(out, Action{Kind: Initiate, To: a})
		}
	}
	return out
}

// initiateWaiting sends the initiation that waits for a probe to an address.
func (p *Peer) initiateWaiting(now time.Duration, out []Action, to netip.AddrPort) []Action {
	i := slices.Index(p.handshake.waiting, to)
	if i < 0 {
		return out
	}
	p.handshake.waiting = slices.Delete(p.handshake.waiting, i, i+1)
	if !p.mayRepeat(now) {
		return out
	}
	return append(out, Action{Kind: Initiate, To: to})
}
