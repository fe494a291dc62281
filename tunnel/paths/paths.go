package paths

import (
	"net/netip"
	"time"
)

const (
	activeFor     = 45 * time.Second        // after the last traffic a peer counts as idle
	heartbeat     = 2 * time.Second         // between probes of a good path
	retryAfter    = 500 * time.Millisecond  // a probe unanswered for so long is sent again
	tries         = 3                       // unanswered probes after which a path is not trusted
	trustFor      = 6500 * time.Millisecond // after a pong, without any probe
	quietFor      = 500 * time.Millisecond  // sending without hearing anything for so long is suspect; TCP sends again after 0.6 s
	betterEvery   = time.Minute             // between looks for a better path than a good one
	goodEnough    = 5 * time.Millisecond    // a round trip that needs no better one
	pendingFor    = 5 * time.Second         // a pong after that is not counted
	pingGap       = 250 * time.Millisecond  // between probes of one candidate without another reason
	bothFor       = 15 * time.Second        // an address that does not prove itself is used beside the relay
	freshPong     = 500 * time.Millisecond  // an answer that says more of a path than where the peer's packets come from
	strangerAfter = 5 * time.Second         // a peer that has shown no probe by then cannot probe

	// MaxCandidates bounds the addresses of one peer: those of the map, those it
	// told through the relay, and those it was seen at.
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

// TxID joins a pong to its ping.
type TxID [12]byte

// Kind is what an Action asks for.
type Kind uint8

const (
	// Ping sends a probe with Tx to To, over Hops routers at most if that is not 0.
	Ping Kind = iota + 1
	// Pong answers the probe Tx: to To, or through the relay if that is invalid.
	Pong
	// Call tells the peer through the relay where this node may be probed.
	Call
)

// Action is something to be sent.
type Action struct {
	Kind Kind
	To   netip.AddrPort
	Tx   TxID
	Hops int
}

// Path is where packets to the peer go. Neither Direct nor Relay: nowhere.
type Path struct {
	Direct netip.AddrPort // invalid: not directly
	Relay  bool           // through the relay; beside Direct while that is in doubt
	Proved bool           // a probe to Direct was answered lately
	// Resting says that Direct is not proved only because nothing was sent lately: the
	// next packet will have it probed.
	Resting bool
	RTT     time.Duration // of the probes to Direct; 0 = none was answered
	Why     string        // for people
}

// candidate is an address where the peer may be.
type candidate struct {
	addr   netip.AddrPort
	mapped bool          // the network map says so
	called bool          // the peer said so through the relay
	seen   time.Duration // moment it was last seen there; 0 = never

	asked    time.Duration // moment of the last probe
	back     time.Duration // moment of the last probe that answered one of the peer's
	missed   int           // probes since the last pong
	silent   time.Duration // moment of the first of those
	answered time.Duration // moment of the last pong
	rtt      time.Duration
}

// Peer is what is known of the ways to one peer. Its methods are not safe for
// concurrent use. Moments are since any fixed start, and above 0.
type Peer struct {
	newTx func() TxID

	relay      bool
	candidates map[netip.AddrPort]*candidate
	pending    map[TxID]probe
	best       *candidate // the last that proved itself, nil if none did
	doubted    time.Duration
	relayed    time.Duration  // moment the peer's packets began to come by the relay; 0 = they come directly
	source     netip.AddrPort // the last direct one that WireGuard authenticated
	sourced    time.Duration  // moment it became that
	known      time.Duration  // moment of the first sign of the peer
	capable    bool           // it has shown a probe, or an answer to one

	traffic, begun time.Duration // last traffic, and the first after a pause
	nextRound      time.Duration
	round          int
	nextBetter     time.Duration
	calledAt       time.Duration // moment of the last Call
	calledBy       time.Duration // … and of the peer's last one
	early          time.Duration // until then packets could come too early for the peer's NAT
}

type probe struct {
	to netip.AddrPort
	at time.Duration
}

// New is a peer of which nothing is known. newTx draws the ids of probes, which
// nobody may be able to guess.
func New(newTx func() TxID) *Peer {
	return &Peer{newTx: newTx, candidates: map[netip.AddrPort]*candidate{}, pending: map[TxID]probe{}}
}

// Path is where packets go now.
func (p *Peer) Path(now time.Duration) Path {
	if p.trusted(now) {
		if p.avoided() {
			return Path{Direct: p.best.addr, Relay: true, RTT: p.best.rtt, Why: "the peer uses the relay; probing the direct address again"}
		}
		return Path{Direct: p.best.addr, Proved: true, RTT: p.best.rtt, Why: "a probe was answered"}
	}
	direct, since := p.source, p.sourced
	if p.best != nil {
		direct, since = p.best.addr, max(p.doubted, p.best.answered)
	}
	if p.relay && direct.IsValid() && p.Early(now, direct) {
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
	case p.active(now) && now-since > bothFor && p.round >= len(rounds)-2:
		return Path{Relay: true, Why: "no direct address answers anymore"}
	}
	return Path{Direct: direct, Relay: true, Why: "waiting for a reply from the direct address"}
}

// Next is the moment when Tick has something to do; false: not by itself.
func (p *Peer) Next(now time.Duration) (time.Duration, bool) {
	switch {
	case !p.active(now):
		return 0, false
	case !p.trusted(now):
		return p.nextRound, true
	}
	return min(p.nextPing(), p.nextBetter), true
}

// Active says whether traffic flowed lately.
func (p *Peer) Active(now time.Duration) bool { return p.active(now) }

func (p *Peer) active(now time.Duration) bool { return p.traffic != 0 && now-p.traffic < activeFor }

func (p *Peer) trusted(now time.Duration) bool {
	return p.best != nil && p.doubted == 0 && now-p.best.answered < trustFor+p.best.rtt
}

// avoided says whether the peer uses the relay in spite of a good path, so that it
// may be good no longer: no probe has been answered since.
func (p *Peer) avoided() bool {
	return p.relay && p.relayed != 0 && p.best.answered < p.relayed
}

// nextPing is when the best path is due to be probed.
func (p *Peer) nextPing() time.Duration {
	if p.best.missed == 0 {
		return p.best.asked + heartbeat
	}
	return p.best.asked + p.retry()
}

func (p *Peer) retry() time.Duration { return max(retryAfter, 2*p.best.rtt+retryAfter/5) }

// class orders addresses by what they promise.
func class(a netip.Addr) int {
	switch {
	case a.IsLoopback():
		return 0
	case a.IsLinkLocalUnicast():
		return 1
	case a.IsPrivate():
		return 2
	case a.Is6():
		return 3
	}
	return 4
}

// better says whether a is worth leaving b for.
func better(a, b *candidate) bool {
	if x, y := class(a.addr.Addr()), class(b.addr.Addr()); x != y {
		return x < y
	}
	return a.rtt+max(b.rtt/10, time.Millisecond) < b.rtt
}
