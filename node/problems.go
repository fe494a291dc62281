package node

import (
	"context"
	"fmt"
	"sync"
	"time"

	"nexd/control"
	"nexd/internal/periodic"
	"nexd/mesh"
	"nexd/netmap"
	"nexd/node/datapath"
)

// problemsEvery is how often the node looks for problems when nobody asks: Since of those whose parts
// do not know their beginning is as exact as this.
const problemsEvery = 5 * time.Second

// The codes of problems. docs/networks.md explains each; none ever changes its meaning.
const (
	CodeMapRejected  = "map-rejected"          // a part of the network map is not used
	CodeUnsaved      = "map-unsaved"           // a full disk
	CodePeerSilent   = "peer-silent"           // a peer to which this node sends
	CodeDataLost     = "data-lost"             // on the path to a peer
	CodeStrict       = "reverse-path-filter"   // no direct path
	CodeUDPBlocked   = "udp-blocked"           // no STUN server answers
	CodeEndpoint     = "endpoint-unused"       // an address that the user named
	CodeService      = "service-unreachable"   //
	CodeReplaced     = "key-used-twice"        // another agent has this node's key
	CodeFirstFlights = "service-small-packets" // large packets to the service are lost
	CodeUnrouted     = "prefix-not-routed"     // a prefix of the mesh, on this host
	CodeUnforwarded  = "prefix-not-forwarded"  // a prefix of this node
)

// problems are what does not work now. Each part says what it knows; firstSeen adds since when, for
// those that do not know it.
func (n *Node) problems(v *netmap.View, host datapath.HostStatus) (all []mesh.Problem) {
	if n.member != nil {
		all = n.member.problems()
	}
	if since, err := n.keeper.Trouble(); err != nil {
		all = append(all, mesh.Problem{Code: CodeUnsaved, What: "the network map cannot be saved", Since: since, Why: err.Error(),
			WayOut: "without it a restart needs the service; make room in the state directory, or make it writable"})
	}
	for _, r := range v.Rejected {
		all = append(all, mesh.Problem{Code: CodeMapRejected, What: "a part of the network map is not used", Why: r})
	}
	if n.path.Mapped().Blocked {
		all = append(all, mesh.Problem{Code: CodeUDPBlocked, What: "UDP does not pass", Why: "none of the service's STUN servers answers",
			WayOut: "packets go through the relay; nexd netcheck says more"})
	}
	for _, c := range n.network.self.named() {
		if c.State == candidateRefused {
			all = append(all, mesh.Problem{Code: CodeEndpoint, What: fmt.Sprintf("the advertised endpoint %v is not used", c.Addr), Why: c.Why})
		}
	}
	for _, s := range host.Skipped {
		all = append(all, mesh.Problem{Code: CodeUnrouted, What: fmt.Sprintf("this host does not route %v into the mesh", s.Prefix), Why: s.Why})
	}
	for _, f := range host.Forwarding {
		if f.Problem != "" {
			all = append(all, mesh.Problem{Code: CodeUnforwarded, What: fmt.Sprintf("prefix %v is not forwarded correctly", f.Prefix), Why: f.Problem})
		}
	}
	return n.began.note(append(all, host.Problems...), time.Now())
}

// problems of the connection to the service.
func (m *member) problems() (all []mesh.Problem) {
	_, since, err := m.link.state()
	twin := mesh.Problem{Code: CodeReplaced, What: "another agent is running with this node's key", Why: "copied state directory?", WayOut: "stop one of them"}
	switch {
	case m.approver.waiting() != nil: // the service does answer
	case err == nil && m.link.hasTwin():
		all = append(all, twin)
	case err == nil:
	case control.ReasonOf(err) == control.ReasonReplaced:
		twin.Since = since
		all = append(all, twin)
	default:
		all = append(all, mesh.Problem{Code: CodeService, What: "service unreachable", Since: since, Why: err.Error(),
			WayOut: "the last network map stays in force; nexd netcheck looks for the reason"})
	}
	if l := m.client.Loss(); !l.Since.IsZero() {
		all = append(all, mesh.Problem{Code: CodeFirstFlights, What: "the way to the service is narrow", Since: l.Since, Why: l.String()})
	}
	return all
}

// watchProblems notes when problems begin, until ctx ends.
func (n *Node) watchProblems(ctx context.Context) error {
	return periodic.Run(ctx, problemsEvery, func() error {
		if v := n.view.Load(); !v.Empty() {
			n.problems(v, n.path.Host())
		}
		return nil
	})
}

// firstSeen is when each present problem was seen first.
type firstSeen struct {
	mu sync.Mutex
	m  map[mesh.Problem]time.Time // by code and What
}

// note sets Since where it is zero, and forgets problems that are over.
func (f *firstSeen) note(all []mesh.Problem, now time.Time) []mesh.Problem {
	f.mu.Lock()
	defer f.mu.Unlock()
	seen := make(map[mesh.Problem]time.Time, len(all))
	for i := range all {
		id := mesh.Problem{Code: all[i].Code, What: all[i].What}
		at, known := f.m[id]
		switch {
		case !all[i].Since.IsZero():
			at = all[i].Since
		case !known:
			at = now
		}
		seen[id], all[i].Since = at, at
	}
	f.m = seen
	return all
}
