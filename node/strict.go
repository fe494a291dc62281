package node

import (
	"fmt"
	"slices"
	"strings"

	"nexd/netmap"
)

// unfiltered returns a line for each peer that is not reached directly because this host drops its
// packets: the peer's address lies in a prefix that the host routes into the mesh, and strict reverse
// path filtering wants packets from there to come out of the mesh.
func unfiltered(v *netmap.View, peers []PeerStatus, strict []string) (lines []string) {
	if len(strict) == 0 {
		return nil
	}
	for i := range v.Peers {
		p := &v.Peers[i]
		at := slices.IndexFunc(peers, func(s PeerStatus) bool { return s.ID == p.ID })
		if at < 0 || peers[at].Path != "relay" && peers[at].Path != "none" {
			continue
		}
		for _, e := range p.Endpoints {
			if a := e.Addr().Unmap(); a.Is4() && v.Find(a).Place == netmap.Peer {
				lines = append(lines, fmt.Sprintf("no direct path to %s: strict reverse path filtering drops packets from %v, which is in a prefix of the mesh; set net.ipv4.conf.%s.rp_filter=2", p.Name, a, strings.Join(strict, ".rp_filter=2 and net.ipv4.conf.")))
				break
			}
		}
	}
	return lines
}
