package underlay

import (
	"sync/atomic"
	"time"
)

// sendsLately is how long after the last packet to a peer this node still counts as sending: WireGuard
// repeats an initiation after 5 s.
const sendsLately = int64(15 * time.Second)

// silence finds out whether what this node sends to a peer is answered by any way. A peer that answers
// probes does so every two seconds on a direct path. Packets that it sends there by itself do not show
// that this node's arrive. Any other peer answers data within 10 s by a keepalive of WireGuard.
type silence struct {
	since    atomic.Int64 // moment of the first packet after the last answer; 0 = none
	last     atomic.Int64 // moment of the last packet to the peer
	answered atomic.Int64 // moment of its last answer to a probe, or report; 0 = never
}

// answeredAt is the moment of the last packet that counts as an answer of the peer.
func (p *peer) answeredAt() int64 {
	if at := p.silence.answered.Load(); at != 0 {
		return max(at, p.viaRelay.heard.Load())
	}
	return p.heard()
}

// sent notes a packet to the peer, whose last answer came at a moment. It is called from time to time
// while packets flow, not for each.
func (s *silence) sent(now, answered int64) {
	if since := s.since.Load(); since == 0 || answered >= since {
		s.since.Store(now)
	}
	s.last.Store(now)
}

// begun is the moment from which on this node has been sending and nothing has come back; 0 = the peer
// answers, or nothing is sent.
func (s *silence) begun(now, answered int64) int64 {
	since := s.since.Load()
	if since == 0 || answered >= since || now-s.last.Load() > sendsLately {
		return 0
	}
	return since
}

// forget is for a peer at rest.
func (s *silence) forget() {
	s.since.Store(0)
	s.answered.Store(0)
}
