package router

import "sync/atomic"

// counters count since New. The outcomes are those of TCP and UDP dials.
type counters struct {
	outcomes                            [limited + 1]atomic.Uint64
	prohibited, withdrawn, remembered   atomic.Uint64
	portUnreachable                     atomic.Uint64
	echoReplied, echoFailed, echoShared atomic.Uint64
	toTarget, toClient                  atomic.Uint64
}

// Stats describe the work of a router: gauges, and counters since New.
type Stats struct {
	TCP     int // gauge: TCP connections, including attempts
	UDP     int // gauge: UDP flows
	Dialing int // gauge: TCP attempts whose target has not answered yet

	Connected   uint64 // targets that accepted the flow
	Refused     uint64 // targets that refused the connection
	Unreachable uint64 // no neighbour, no route, or a firewall
	TimedOut    uint64 // targets that did not answer in time
	Abandoned   uint64 // clients that left before the target answered
	Exhausted   uint64 // this host had no descriptor or port left
	Limited     uint64 // the peer had reached a limit
	Prohibited  uint64 // outside the advertisements, or a forbidden target
	Withdrawn   uint64 // ended because their prefix was withdrawn
	Remembered  uint64 // not dialled: the target had failed shortly before

	PortUnreachable uint64 // UDP flows whose target reported it later
	EchoReplied     uint64 // echo requests that the target answered
	EchoFailed      uint64 // echo requests without a reply
	EchoShared      uint64 // echo requests that shared the ping of another

	ToTarget uint64 // of ended TCP connections and all UDP flows
	ToClient uint64 // likewise
}

// Stats returns the gauges and counters as they are now.
func (r *Router) Stats() Stats {
	c := &r.count
	of := func(o outcome) uint64 { return c.outcomes[o].Load() }
	s := Stats{
		Connected: of(connected), Refused: of(refused), Unreachable: of(noHost) + of(noNet) + of(prohibited),
		TimedOut: of(timedOut), Abandoned: of(abandoned), Exhausted: of(exhausted), Limited: of(limited),
		Prohibited: c.prohibited.Load(), Withdrawn: c.withdrawn.Load(), Remembered: c.remembered.Load(),
		PortUnreachable: c.portUnreachable.Load(),
		EchoReplied:     c.echoReplied.Load(), EchoFailed: c.echoFailed.Load(), EchoShared: c.echoShared.Load(),
		ToTarget: c.toTarget.Load(), ToClient: c.toClient.Load(),
	}
	for _, f := range r.flows.list() {
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
