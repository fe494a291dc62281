package router

import "sync/atomic"

// counters count since New. The outcomes are of dials, TCP and UDP.
type counters struct {
	outcomes                           [full + 1]atomic.Uint64
	prohibited, withdrawn, cached      atomic.Uint64
	portUnreachable                    atomic.Uint64
	echoReplied, echoFailed, echoTaken atomic.Uint64
	toTarget, toClient                 atomic.Uint64
}

// Stats are counts since New, except for the gauges.
type Stats struct {
	TCP     int `json:"tcp"`     // gauge: TCP connections, attempts included
	UDP     int `json:"udp"`     // gauge: UDP flows
	Dialing int `json:"dialing"` // gauge: TCP attempts not answered yet

	Connected   uint64 `json:"connected"`   // targets that took the flow
	Refused     uint64 `json:"refused"`     // targets that said no
	Unreachable uint64 `json:"unreachable"` // no host, no network, or a rule on the way
	Silent      uint64 `json:"silent"`      // targets that said nothing in time
	Abandoned   uint64 `json:"abandoned"`   // clients that left first
	Exhausted   uint64 `json:"exhausted"`   // this host had no descriptor or port left
	Limited     uint64 `json:"limited"`     // turned away at a limit
	Prohibited  uint64 `json:"prohibited"`  // outside the advertisements, or never to be dialled
	Withdrawn   uint64 `json:"withdrawn"`   // ended because their prefix went away
	Remembered  uint64 `json:"remembered"`  // answered from memory: the target was dead a moment ago

	PortUnreachable uint64 `json:"port_unreachable"` // UDP flows whose target said so later
	EchoReplied     uint64 `json:"echo_replied"`
	EchoFailed      uint64 `json:"echo_failed"` // unanswered or unreachable
	EchoShared      uint64 `json:"echo_shared"` // requests served by another's probe

	ToTarget uint64 `json:"to_target_bytes"` // of ended TCP connections and all UDP flows
	ToClient uint64 `json:"to_client_bytes"`
}

// Stats is a copy of the counts.
func (r *Router) Stats() Stats {
	c := &r.count
	of := func(o outcome) uint64 { return c.outcomes[o].Load() }
	s := Stats{
		Connected: of(connected), Refused: of(refused), Unreachable: of(noHost) + of(noNet) + of(prohibited),
		Silent: of(silent), Abandoned: of(abandoned), Exhausted: of(exhausted), Limited: of(full),
		Prohibited: c.prohibited.Load(), Withdrawn: c.withdrawn.Load(), Remembered: c.cached.Load(),
		PortUnreachable: c.portUnreachable.Load(),
		EchoReplied:     c.echoReplied.Load(), EchoFailed: c.echoFailed.Load(), EchoShared: c.echoTaken.Load(),
		ToTarget: c.toTarget.Load(), ToClient: c.toClient.Load(),
	}
	for _, f := range r.live.list() {
		switch {
		case f.Protocol == "udp":
			s.UDP++
		case f.Protocol == "tcp":
			s.TCP++
			if !f.Open {
				s.Dialing++
			}
		}
	}
	return s
}
