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

// silent says since when and why a peer does not answer; ok is false if it does, or nothing is sent to it.
func (n *Node) silent(p *mesh.Node, path underlay.PathStatus, now time.Time) (why string, ok bool) {
	if path.Silent.IsZero() || now.Sub(path.Silent) < silentFor {
		return "", false
	}
	connected := false
	if n.member != nil {
		connected, _, _ = n.member.link.state()
	}
	why = "no reply since " + path.Silent.Local().Format(time.TimeOnly)
	switch relay := n.relay(); {
	case connected && !p.Online:
		return why + "; it is not connected to the service either", true
	case relay == nil:
		return why + "; there is no relay, and no address answers", true
	case relay.Err != nil:
		return why + "; the relay is not connected, and no address answers", true
	}
	return why + "; no address answers, and nothing comes through the relay", true
}

// unheard are the health lines about peers: those that do not answer, and those whose direct path
// loses data.
func unheard(peers []PeerStatus) (lines []string) {
	more := 0
	add := func(line string) {
		if len(lines) < mostNamed {
			lines = append(lines, line)
		} else {
			more++
		}
	}
	for _, p := range peers {
		switch {
		case p.Silent:
			out := "check that nexd runs there, and run nexd netcheck on both hosts"
			if !p.Online && p.Path == "none" {
				out = "start nexd there"
			}
			add(fmt.Sprintf("%s does not answer: %s; %s", p.Name, p.Why, out))
		case p.Path == "relay" && !p.Limited.IsZero(), p.Path == "none" && !p.Limited.IsZero():
			add(fmt.Sprintf("data to %s does not pass as it should since %s: %s; ask whoever runs the network in between, or try a lower --mtu", p.Name, p.Limited.Local().Format(time.TimeOnly), p.Why))
		}
	}
	if more > 0 {
		lines = append(lines, fmt.Sprintf("the same holds for %d more nodes", more))
	}
	return lines
}
