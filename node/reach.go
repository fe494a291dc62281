package node

import (
	"fmt"
	"time"

	"nexd/mesh"
	"nexd/tunnel/underlay"
)

// A path is not called good after silentFor without a packet from a peer to which this node sends.
// WireGuard repeats a lost initiation after 5 s, so one loss is not yet a fault.
const silentFor = 6 * time.Second

// mostNamed bounds the health lines about peers.
const mostNamed = 5

// silent says why a peer to which this node sends does not answer; ok is false if it does, or nothing
// is sent to it.
func (n *Node) silent(p *mesh.Node, path underlay.PathStatus, now time.Time) (why string, ok bool) {
	if path.Silent.IsZero() || now.Sub(path.Silent) < silentFor {
		return "", false
	}
	connected := false
	if n.member != nil {
		connected, _, _ = n.member.link.state()
	}
	switch relay := n.relay(); {
	case connected && !p.Online:
		return "it is not connected to the service either", true
	case relay == nil:
		return "there is no relay, and no address answers", true
	case relay.Err != nil:
		return "the relay is not connected, and no address answers", true
	}
	return "no address answers, and nothing comes through the relay", true
}

// unheard are the problems with peers: those that do not answer, and those whose path loses data.
func unheard(peers []PeerStatus) (all []mesh.Problem) {
	more := map[string]int{}
	add := func(p mesh.Problem) {
		if len(all) < mostNamed {
			all = append(all, p)
		} else {
			more[p.Code]++
		}
	}
	for _, p := range peers {
		switch {
		case !p.Silent.IsZero():
			out := "check that nexd runs there, and run nexd netcheck on both hosts"
			if !p.Online {
				out = "start nexd there"
			}
			add(mesh.Problem{Code: CodePeerSilent, What: p.Name + " does not answer", Since: p.Silent, Why: p.silence, WayOut: out})
		case !p.Limited.IsZero() && p.Path != "direct":
			add(mesh.Problem{Code: CodeDataLost, What: "data to " + p.Name + " does not pass as it should", Since: p.Limited, Why: p.Why,
				WayOut: "ask whoever runs the network in between, or try a lower --mtu"})
		}
	}
	for _, code := range []string{CodePeerSilent, CodeDataLost} {
		if n := more[code]; n > 0 {
			all = append(all, mesh.Problem{Code: code, What: fmt.Sprintf("the same holds for %d more nodes", n)})
		}
	}
	return all
}
