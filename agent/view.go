package agent

import (
	"fmt"
	"net/netip"
	"slices"

	"nexd/internal/lpm"
	"nexd/mesh"
)

// view is one network map with what the agent made of it: what cannot be right
// left out, and the look-ups that dialling needs. It does not change once made.
// Slices of the map are shared with it.
type view struct {
	mesh.NetworkMap
	granted []mesh.Advertisement // wanted by this node and granted by the map
	left    []string             // what was left out, for people
	owner   map[netip.Addr]*mesh.Node
	names   map[string]*mesh.Node
	pools   *lpm.Set
	routes  *lpm.Table[*mesh.Node] // the prefixes that peers advertise
	mesh    *lpm.Set               // routed
}

// newView checks m. wanted is what this node was told to advertise: the map can
// take a prefix away from the node, but never make it route one that its user did
// not name.
func newView(m *mesh.NetworkMap, wanted []mesh.Advertisement) *view {
	v := &view{NetworkMap: *m, owner: make(map[netip.Addr]*mesh.Node, 2*len(m.Peers)), names: make(map[string]*mesh.Node, len(m.Peers))}
	v.Peers = make([]mesh.Node, 0, len(m.Peers)) // never grows: pointers into it stay
	v.pools = lpm.SetOf(v.Pools)
	for _, a := range wanted {
		if slices.Contains(m.Self.Prefixes, a.Prefix) {
			v.granted = append(v.granted, a)
		}
	}
	v.Self.Prefixes = nil
	for _, a := range v.granted {
		v.Self.Prefixes = append(v.Self.Prefixes, a.Prefix)
	}
	for _, a := range m.Self.Addresses {
		v.owner[a] = &v.Self
	}
	v.names[v.Self.Name] = &v.Self
	x := &claims{view: v, crowded: crowded(m.Peers), self: lpm.SetOf(v.Self.Prefixes)}
	for _, p := range m.Peers {
		if p.ID == m.Self.ID || p.Key == m.Self.Key || p.Key.IsZero() {
			continue
		}
		x.add(p)
	}
	v.routes, v.mesh = lpm.New(x.routes), lpm.SetOf(v.routed())
	return v
}

// claims is a view in the making.
type claims struct {
	*view
	routes  []lpm.Entry[*mesh.Node]
	crowded map[netip.Prefix]bool // overlap another peer's, so they are looked at one by one
	self    *lpm.Set
}

// crowded are the prefixes that overlap another one: none, in an organization whose
// service does its work.
func crowded(peers []mesh.Node) map[netip.Prefix]bool {
	var all []lpm.Entry[struct{}]
	for _, p := range peers {
		for _, prefix := range p.Prefixes {
			all = append(all, lpm.Entry[struct{}]{Prefix: prefix})
		}
	}
	out := map[netip.Prefix]bool{}
	lpm.Nested(all, func(inner, outer int) { out[all[inner].Prefix], out[all[outer].Prefix] = true, true })
	return out
}

// add takes a peer into the view with those of its addresses and prefixes that
// nobody else has and that a mesh may route.
func (x *claims) add(p mesh.Node) {
	x.Peers = append(x.Peers, p)
	peer := &x.Peers[len(x.Peers)-1]
	peer.Addresses = kept(p.Addresses, func(a netip.Addr) bool {
		if why := x.addressFault(a); why != "" {
			x.left = append(x.left, fmt.Sprintf("address %v of %s: %s", a, p.Name, why))
			return false
		}
		x.owner[a] = peer
		return true
	})
	peer.Prefixes = kept(p.Prefixes, func(pre netip.Prefix) bool {
		if why := x.prefixFault(pre); why != "" {
			x.left = append(x.left, fmt.Sprintf("prefix %v of %s: %s", pre, p.Name, why))
			return false
		}
		x.routes = append(x.routes, lpm.Entry[*mesh.Node]{Prefix: pre, Value: peer})
		return true
	})
	if x.names[p.Name] == nil {
		x.names[p.Name] = peer
	}
}

// kept are those that are good: all itself, if all are.
func kept[T any](all []T, good func(T) bool) []T {
	for i, one := range all {
		if good(one) {
			continue
		}
		out := slices.Clone(all[:i])
		for _, one := range all[i+1:] {
			if good(one) {
				out = append(out, one)
			}
		}
		return out
	}
	return all
}

func (x *claims) addressFault(a netip.Addr) string {
	if _, taken := x.owner[a]; taken {
		return "another node has it"
	}
	if !x.pools.Has(a) {
		return "it is outside the pools"
	}
	return ""
}

func (x *claims) prefixFault(p netip.Prefix) string {
	switch {
	case p != p.Masked() || p.Bits() < 1:
		return "no proper prefix"
	case p.Addr().IsLoopback() || p.Addr().IsLinkLocalUnicast() || p.Addr().IsMulticast() || p.Addr().Is4In6():
		return "not routable"
	}
	if x.pools.Overlaps(p) {
		i := slices.IndexFunc(x.Pools, p.Overlaps)
		return fmt.Sprintf("it overlaps the node addresses %v", x.Pools[i])
	}
	if x.crowded[p] {
		for _, r := range x.routes {
			if r.Prefix.Overlaps(p) {
				return fmt.Sprintf("it overlaps %v of %s", r.Prefix, r.Value.Name)
			}
		}
	}
	if x.self.Overlaps(p) {
		i := slices.IndexFunc(x.Self.Prefixes, p.Overlaps)
		return fmt.Sprintf("it overlaps this node's own %v", x.Self.Prefixes[i])
	}
	return ""
}

// named finds a node, this one included, by name, however it is spelt.
func (v *view) named(name string) (*mesh.Node, bool) {
	name = mesh.NodeName(name)
	n := v.names[name]
	return n, n != nil && name != ""
}

// where says who answers for an address.
type where uint8

const (
	outside  where = iota // no part of the mesh
	nobody                // in a pool, but no node has it
	self                  // this node
	behindMe              // in a prefix this node advertises
	peer                  // another node, or a prefix of one
)

// find says who answers for addr: a peer's node for peer, the address to dial on
// this host for behindMe.
func (v *view) find(addr netip.Addr) (where, *mesh.Node, netip.Addr) {
	if n, ok := v.owner[addr]; ok {
		if n == &v.Self {
			return self, n, addr
		}
		return peer, n, addr
	}
	if n, ok := v.routes.Lookup(addr); ok {
		return peer, n, addr
	}
	for _, a := range v.granted {
		if local, ok := a.ToLocal(addr); ok {
			return behindMe, &v.Self, local
		}
	}
	if v.pools.Has(addr) {
		return nobody, nil, addr
	}
	return outside, nil, addr
}

// inbound is what the filter lets in: this node's own addresses and the prefixes
// granted to it.
func (v *view) inbound() []netip.Prefix {
	out := hostPrefixes(v.Self.Addresses)
	return append(out, v.Self.Prefixes...)
}

// routed is every prefix of the organization, pools included: no candidate of the
// underlay may lie in one.
func (v *view) routed() []netip.Prefix {
	out := slices.Grow(slices.Concat(v.Pools, v.Self.Prefixes), len(v.Peers))
	for _, p := range v.Peers {
		out = append(out, p.Prefixes...)
	}
	return out
}

func hostPrefixes(addrs []netip.Addr) (out []netip.Prefix) {
	out = make([]netip.Prefix, 0, len(addrs)+1)
	for _, a := range addrs {
		out = append(out, mesh.HostPrefix(a))
	}
	return out
}

// insideMesh says whether an address belongs to the mesh.
func (v *view) insideMesh(a netip.Addr) bool { return v.mesh.Has(a) }
