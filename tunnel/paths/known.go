package paths

import (
	"net/netip"
	"time"
)

// Known is what is known of one address of a peer.
type Known struct {
	Addr  netip.AddrPort
	State string        // one of the States
	RTT   time.Duration // 0 = it has not answered
	Since time.Duration // moment of the last answer while StateAnswers, of the first unanswered probe while StateSilent
	Why   string        // why it is not used, if there is more to say
}

// States of a Known address.
const (
	StateUsed     = "used"      // packets go there
	StateAnswers  = "answers"   // it answered its last probe; another address is better
	StateSilent   = "silent"    // its last probe has no answer
	StateSwallows = "swallows"  // it answers probes, but data does not arrive
	StateUntried  = "not tried" // nothing was sent there lately
)

// Known returns the addresses of the peer, the most promising first.
func (p *Peer) Known(now time.Duration) (out []Known) {
	used := p.Path(now).Direct
	if p.AtRest() {
		for _, a := range p.mapped {
			out = append(out, Known{Addr: a, State: StateUntried})
		}
		return out
	}
	for _, c := range p.sorted(nil) {
		k := Known{Addr: c.addr, State: StateUntried, RTT: c.rtt}
		switch {
		case c.holed():
			k.State, k.Since, k.Why = StateSwallows, c.hole.since, c.hole.why
		case c.addr == used:
			k.State, k.Since = StateUsed, c.answered
		case c.asked == 0:
		case c.missed > 0:
			k.State, k.Since = StateSilent, c.silentSince
		default:
			k.State, k.Since = StateAnswers, c.answered
		}
		out = append(out, k)
	}
	return out
}
