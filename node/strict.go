package node

import (
	"fmt"
	"strings"

	"nexd/mesh"
	"nexd/netmap"
)

// unfiltered returns a problem for each peer that is not reached directly because this host drops its
// packets: the peer's address lies in a prefix that the host routes into the mesh, and strict reverse
// path filtering wants packets from there to come out of the mesh. peers are those of v, in its order.
func unfiltered(v *netmap.View, peers []PeerStatus, strict []string) (all []mesh.Problem) {
	if len(strict) == 0 {
		return nil
	}
	for i := range v.Peers {
		p := &v.Peers[i]
		if way := peers[i].Path; way != "relay" && way != "none" {
			continue
		}
		for _, e := range p.Endpoints {
			if a := e.Addr().Unmap(); a.Is4() && v.Find(a).Place == netmap.Peer {
				all = append(all, mesh.Problem{Code: CodeStrict, What: "no direct path to " + p.Name,
					Why:    fmt.Sprintf("strict reverse path filtering drops packets from %v, which is in a prefix of the mesh", a),
					WayOut: "set net.ipv4.conf." + strings.Join(strict, ".rp_filter=2 and net.ipv4.conf.") + ".rp_filter=2"})
				break
			}
		}
	}
	return all
}
