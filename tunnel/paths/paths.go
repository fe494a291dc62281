package paths

import (
	"net/netip"
	"time"
)

const (
	activeFor     = 45 * time.Second        // after the last traffic a peer counts as idle
	heartbeat     = 2 * time.Second         // between probes of a good path
	retryAfter    = 500 * time.Millisecond  // until an unanswered probe is sent again
	tries         = 3                       // unanswered probes after which a path is not trusted
	trustFor      = 6500 * time.Millisecond // after a pong, without any probe
	quietFor      = 500 * time.Millisecond  // of sending without receiving is suspect; TCP sends again after 0.6 s
	betterEvery   = time.Minute             // between searches for a better path than a good one
	betterSoon    = 3 * time.Second         // until the first such search, on a path that may not be the best
	betterAgain   = 10 * time.Second        // between such searches while a better address is silent
	goodEnough    = 5 * time.Millisecond    // a round trip that needs no better path
	pendingFor    = 5 * time.Second         // a later pong is ignored
	pingGap       = 250 * time.Millisecond  // between probes of one candidate without another reason
	bothFor       = 15 * time.Second        // an unproved address is used beside the relay
	freshPong     = 500 * time.Millisecond  // a pong that says more about a path than the source of the peer's packets
	strangerAfter = 5 * time.Second         // a peer that has shown no probe by then cannot probe

	// MaxCandidates bounds the addresses of one peer: those of the network map, those
	// that the peer sent through the relay, and sources of its packets.
	MaxCandidates = 40
)

// rounds are the pauses between probes of all candidates while no path is proved.
var rounds = [...]time.Duration{
	300 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, 5 * time.Second, 5 * time.Second,
}

const (
	roundsLater = 10 * time.Second // after those
	roundsStock = time.Minute      // to a peer that works and answers no probes
)

// TxID matches a pong to its ping.
type TxID [12]byte

// Kind is what an Action asks for.
type Kind uint8

const (
	// Ping sends a probe with Tx to To, with a time to live of Hops unless that is 0.
	Ping Kind = iota + 1
	// Pong answers the probe Tx: to To, or through the relay if To is invalid.
	Pong
	// Call tells the peer through the relay where it may probe this node.
	Call
	// Initiate sends the last initiation again: to To, or through the relay if To is
	// invalid.
	Initiate
	// Size sends a probe with Tx and the size and form of a WireGuard message of Size bytes to
	// To; with a Twin, a run of two, the second of which has that id.
	Size
	// Report tells the peer what of its data has arrived: to To, or through the relay if To is
	// invalid; not if it was told within the last second.
	Report
)

// Action is something to send.
type Action struct {
	Kind Kind
	To   netip.AddrPort
	Tx   TxID
	Hops int
	Size int
	Twin TxID
}

// Path is where packets to the peer go: to nowhere if neither Direct nor Relay is set.
type Path struct {
	Direct netip.AddrPort // invalid: not directly
	Relay  bool           // through the relay; beside Direct while Direct is in doubt
	Proved bool           // Direct answered a probe lately
	// Resting reports that Direct is unproved only because nothing was sent lately: the
	// next packet has it probed.
	Resting bool
	RTT     time.Duration // of the probes to Direct; 0 = no answer yet
	Largest int           // size of the largest packet inside the mesh that passes; 0 = no limit is known
	Plain   bool          // Direct takes single packets only, no runs
	Why     string        // for people
	Since   time.Duration // moment from which on Direct carries less than it should, or nothing; 0 = never
}

// candidate is an address where the peer may be.
type candidate struct {
	addr   netip.AddrPort
	mapped bool          // the network map has it
	called bool          // the peer's last call has it
	seen   time.Duration // moment of the last packet from there; 0 = never

	asked       time.Duration // moment of the last probe
	back        time.Duration // moment of the last probe that a probe of the peer caused
	missed      int           // probes since the last pong
	silentSince time.Duration // moment of the first of those
	answered    time.Duration // moment of the last pong
	proved      time.Duration // moment at which the latest answered probe was sent
	rtt         time.Duration

	size     int           // largest packet inside the mesh that passes; 0 = no limit is known
	plain    bool          // runs do not pass
	narrowed time.Duration // moment of the first limit
	measured time.Duration // moment of the last measure; 0 = never
	recheck  time.Duration // moment of the next one
	hole     hole
}

// source is where the peer's authenticated packets come from.
type source struct {
	addr  netip.AddrPort // the last direct address
	since time.Duration  // moment the peer moved there
	relay bool           // the last packet came through the relay
}

// search is the state of looking for a path, or for a better one.
type search struct {
	round  int           // rounds since the search began
	next   time.Duration // moment of the next round
	better time.Duration // moment of the next search for a better path
}

// calls are the calls that this node and the peer exchange through the relay.
type calls struct {
	sent     time.Duration // moment of this node's last call; 0 = never
	received time.Duration // moment of the peer's last call; 0 = never
}

// Peer is the state of the ways to one peer. Its methods are not safe for concurrent
// use. Moments count from any fixed start and are above 0.
type Peer struct {
	newTx func() TxID

	mapped []netip.AddrPort // candidates of the network map, best first
	relay  bool             // the relay can be used
	source source
	woken  time.Duration // moment the peer was needed; 0 = at rest

	// All of what follows is zero at rest.
	candidates map[netip.AddrPort]*candidate
	pending    map[TxID]probe
	best       *candidate    // the last address that proved itself, nil if none did
	doubted    time.Duration // moment best came into doubt; 0 = it is trusted
	avoided    time.Duration // moment the peer left a good path for the relay; 0 = never
	known      time.Duration // moment of the first sign of the peer
	capable    bool          // the peer has sent a probe, or answered one

	traffic, begun time.Duration // last traffic, and the first after a pause
	search         search
	calls          calls
	punching       time.Duration // until then a packet could reach the peer's NAT too early
	handshake      handshake
	data           data
}

type probe struct {
	to netip.AddrPort
	at time.Duration
}

// New makes a peer at rest. newTx draws the ids of probes, which nobody must be able to
// guess.
func New(newTx func() TxID) *Peer { return &Peer{newTx: newTx} }

// AtRest reports whether the peer was not needed since New or Rest.
func (p *Peer) AtRest() bool { return p.woken == 0 }

// Rest forgets everything but the candidates of the map and where the peer was last.
func (p *Peer) Rest() {
	rest := Peer{newTx: p.newTx, mapped: p.mapped, relay: p.relay}
	if !p.source.relay {
		rest.source = p.source
	}
	rest.data = p.data.rest(p.candidates[p.source.addr])
	*p = rest
}

// wake makes a peer at rest ready for traffic.
func (p *Peer) wake(now time.Duration) {
	if p.woken != 0 {
		return
	}
	p.woken = now
	p.data.proof = new(proof)
	p.candidates, p.pending = make(map[netip.AddrPort]*candidate, len(p.mapped)), map[TxID]probe{}
	for _, a := range p.mapped {
		if c := p.add(a); c != nil {
			c.mapped = true
		}
	}
	if p.source.addr.IsValid() {
		p.known = now
		p.see(p.source.since, p.source.addr)
	}
	if c := p.candidates[p.data.known.to]; c != nil {
		c.size, c.narrowed = p.data.known.size, now
	}
}

// Source is the last direct address of the peer's authenticated packets, and the moment
// the peer moved there. current is false if its last packet came through the relay.
func (p *Peer) Source() (addr netip.AddrPort, since time.Duration, current bool) {
	return p.source.addr, p.source.since, p.source.addr.IsValid() && !p.source.relay
}

// Path is where packets go now.
func (p *Peer) Path(now time.Duration) Path {
	path := p.way(now)
	c := p.candidates[path.Direct]
	switch {
	case p.AtRest() && path.Direct.IsValid() && path.Direct == p.data.known.to:
		path.Largest = p.data.known.size
	case c != nil && path.Direct.IsValid():
		path.Largest, path.Plain = c.size, c.plain || c.measured == 0 && p.data.measure != nil // single packets until a run has passed
		if w := c.words(); w != "" {
			path.Why, path.Since = path.Why+w, c.narrowed
		}
	}
	if c := p.swallowed(); c != nil {
		if path.Since = c.hole.since; path.Direct.IsValid() && path.Direct != c.addr {
			path.Why += "; " + c.hole.why
		}
	}
	if since := p.RelaySilent(); since != 0 && path.Relay && !path.Direct.IsValid() {
		path.Why, path.Since = path.Why+"; nothing sent through the relay arrives", since
	}
	return path
}

// way is the path without what is known of its size.
func (p *Peer) way(now time.Duration) Path {
	if p.AtRest() {
		return Path{Direct: p.source.addr, Relay: p.source.relay && !p.source.addr.IsValid()}
	}
	if p.trusted(now) {
		if p.best.hole.trial {
			return Path{Direct: p.best.addr, Relay: p.relay, Proved: !p.relay, RTT: p.best.rtt, Why: "trying this address again: " + p.best.hole.why}
		}
		if p.avoids() {
			return Path{Direct: p.best.addr, Relay: true, RTT: p.best.rtt, Why: "the peer uses the relay; probing the direct address again"}
		}
		return Path{Direct: p.best.addr, Proved: true, RTT: p.best.rtt, Why: "a probe was answered"}
	}
	if c := p.swallowed(); c != nil && p.best == nil {
		if p.relay {
			return Path{Relay: true, Why: c.hole.why}
		}
		return Path{Direct: c.addr, Why: c.hole.why + ", and there is no relay"}
	}
	direct, since := p.source.addr, max(p.source.since, p.woken)
	if p.best != nil {
		direct, since = p.best.addr, max(p.doubted, p.best.answered)
	}
	if p.relay && direct.IsValid() && p.Premature(now, direct) {
		return Path{Relay: true, Why: "waiting for the peer's NAT to open"}
	}
	if p.best != nil && p.doubted == 0 && p.best.missed == 0 {
		return Path{Direct: p.best.addr, Relay: p.relay, Resting: true, RTT: p.best.rtt, Why: "the direct address answered during the last traffic"}
	}
	switch {
	case !direct.IsValid() && p.relay:
		return Path{Relay: true, Why: "no direct address has answered yet"}
	case !direct.IsValid():
		return Path{Why: "no address has answered, and there is no relay"}
	case !p.relay:
		return Path{Direct: direct, Why: "packets arrive from this address; no probe has confirmed it, and there is no relay"}
	case !p.capable && now-p.known > strangerAfter:
		return Path{Direct: direct, Why: "packets arrive from this address; the peer does not answer probes"}
	case p.active(now) && now-since > bothFor && p.search.round >= len(rounds)-2:
		return Path{Relay: true, Why: "no direct address answers anymore"}
	}
	return Path{Direct: direct, Relay: true, Why: "waiting for a reply from the direct address"}
}

// Next is the moment when Tick has something to do; false: not without an event.
func (p *Peer) Next(now time.Duration) (time.Duration, bool) {
	if !p.active(now) {
		return 0, false
	}
	next := p.search.next
	if p.trusted(now) {
		next = min(p.nextPing(), p.search.better)
	}
	if at, ok := p.nextData(now); ok {
		next = min(next, at)
	}
	return next, true
}

func (p *Peer) active(now time.Duration) bool { return p.traffic != 0 && now-p.traffic < activeFor }

func (p *Peer) trusted(now time.Duration) bool {
	return p.best != nil && p.doubted == 0 && now-p.best.answered < trustFor+p.best.rtt
}

// avoids reports whether the peer uses the relay in spite of a good path, and the path
// has answered no probe since. The path may be broken.
func (p *Peer) avoids() bool {
	return p.relay && p.avoided != 0 && p.best.answered < p.avoided
}

// nextPing is when the best path is due for a probe.
func (p *Peer) nextPing() time.Duration {
	if p.best.missed == 0 {
		return p.best.asked + heartbeat
	}
	return p.best.asked + p.retry()
}

func (p *Peer) retry() time.Duration { return max(retryAfter, 2*p.best.rtt+retryAfter/5) }
