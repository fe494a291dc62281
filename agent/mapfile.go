package agent

import (
	"encoding/json"
	"net/netip"
	"os"
	"slices"
	"strings"

	"nexd/internal/lpm"
	"nexd/mesh"
)

// readStaticMap reads a --map file: a mesh.NetworkMap as JSON, whose self entry
// describes this node. docs/static-map.md shows one. The key of self may be left
// out; pools may be, when the nodes' addresses come from the usual ones.
func readStaticMap(path string, own mesh.Key) (*mesh.NetworkMap, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, mesh.Errorf(mesh.Unavailable, "agent: static map: %w", err)
	}
	defer f.Close()
	m := new(mesh.NetworkMap)
	dec := json.NewDecoder(f)
	dec.DisallowUnknownFields()
	if err := dec.Decode(m); err != nil {
		return nil, mesh.Errorf(mesh.Invalid, "agent: static map %s: %w", path, err)
	}
	if err := completeStatic(m, own); err != nil {
		return nil, mesh.Errorf(mesh.Invalid, "agent: static map %s: %w", path, err)
	}
	return m, nil
}

// completeStatic checks a static map and fills in what may be left out.
func completeStatic(m *mesh.NetworkMap, own mesh.Key) error {
	if m.Self.Key.IsZero() {
		m.Self.Key = own
	}
	if m.Self.Key != own {
		return mesh.Errorf(mesh.Invalid, "self has key %v, but this node's is %v (nexd key prints it)", m.Self.Key, own)
	}
	if len(m.Self.Addresses) == 0 || m.Self.Name == "" {
		return mesh.Errorf(mesh.Invalid, "self needs a name and at least one address")
	}
	if m.Organization == "" {
		m.Organization = "static"
	}
	nodes := append([]*mesh.Node{&m.Self}, pointers(m.Peers)...)
	seen, pools, pooled := map[string]bool{}, lpm.SetOf(m.Pools), map[netip.Addr]bool{}
	for _, n := range nodes {
		if n.ID == "" {
			n.ID = mesh.NodeID(n.Name)
		}
		switch {
		case n.Name == "" || seen[n.Name]:
			return mesh.Errorf(mesh.Invalid, "node name %q is empty or used twice", n.Name)
		case n.Key.IsZero():
			return mesh.Errorf(mesh.Invalid, "node %s has no key", n.Name)
		}
		seen[n.Name] = true
		for _, a := range n.Addresses {
			if !pools.Has(a) && !pooled[a] {
				pooled[a] = true
				m.Pools = append(m.Pools, mesh.HostPrefix(a))
			}
		}
	}
	slices.SortFunc(m.Peers, func(a, b mesh.Node) int { return strings.Compare(a.Name, b.Name) })
	return nil
}

func pointers(nodes []mesh.Node) (out []*mesh.Node) {
	for i := range nodes {
		out = append(out, &nodes[i])
	}
	return out
}
