package agent

import (
	"fmt"
	"net/netip"
	"slices"

	"nexd/mesh"
)

// view is one network map with what the agent made of it: what cannot be right
// left out, and the look-ups that dialling needs. It does not change once made.
type view struct {
	mesh.NetworkMap
	granted []mesh.Advertisement // wanted by this node and granted by the map
	left    []string             // what was left out, for people
	owner   map[netip.Addr]*mesh.Node
	routes  []route
}

// route is a prefix that a peer advertises.
type route struct {
	prefix netip.Prefix
	peer   *mesh.Node
}

// newView checks m. wanted is what this node was told to advertise: the map can
// take a prefix away from the node, but never make it route one that its user did
// not name.
func newView(m *mesh.NetworkMap, wanted []mesh.Advertisement) *view {
	v := &view{NetworkMap: *m, owner: map[netip.Addr]*mesh.Node{}}
	v.Peers = nil
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
	for _, p := range m.Peers {
		if p.ID == m.Self.ID || p.Key == m.Self.Key || p.Key.IsZero() {
			continue
		}
		v.add(p)
	}
	return v
}

// add takes a peer into the view with those of its addresses and prefixes that
// nobody else has and that a mesh may route.
func (v *view) add(p mesh.Node) {
	peer := new(mesh.Node)
	addresses, prefixes := p.Addresses, p.Prefixes
	p.Addresses, p.Prefixes = nil, nil
	for _, a := range addresses {
		if why := v.addressFault(a); why != "" {
			v.left = append(v.left, fmt.Sprintf("address %v of %s is left out: %s", a, p.Name, why))
			continue
		}
		p.Addresses = append(p.Addresses, a)
		v.owner[a] = peer
	}
	for _, pre := range prefixes {
		if why := v.prefixFault(pre); why != "" {
			v.left = append(v.left, fmt.Sprintf("prefix %v of %s is left out: %s", pre, p.Name, why))
			continue
		}
		p.Prefixes = append(p.Prefixes, pre)
		v.routes = append(v.routes, route{pre, peer})
	}
	*peer = p
	v.Peers = append(v.Peers, p)
}

func (v *view) addressFault(a netip.Addr) string {
	switch _, taken := v.owner[a]; {
	case taken:
		return "another node has it"
	case !inAny(v.Pools, a):
		return "it is outside the pools"
	}
	return ""
}

func (v *view) prefixFault(p netip.Prefix) string {
	switch {
	case p != p.Masked() || p.Bits() < 1:
		return "no proper prefix"
	case p.Addr().IsLoopback() || p.Addr().IsLinkLocalUnicast() || p.Addr().IsMulticast() || p.Addr().Is4In6():
		return "not routable"
	}
	for _, pool := range v.Pools {
		if pool.Overlaps(p) {
			return fmt.Sprintf("it overlaps the node addresses %v", pool)
		}
	}
	for _, r := range v.routes {
		if r.prefix.Overlaps(p) {
			return fmt.Sprintf("it overlaps %v of %s", r.prefix, r.peer.Name)
		}
	}
	for _, mine := range v.Self.Prefixes {
		if mine.Overlaps(p) {
			return fmt.Sprintf("it overlaps this node's own %v", mine)
		}
	}
	return ""
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
	for _, r := range v.routes {
		if r.prefix.Contains(addr) {
			return peer, r.peer, addr
		}
	}
	for _, a := range v.granted {
		if local, ok := a.ToLocal(addr); ok {
			return behindMe, &v.Self, local
		}
	}
	if inAny(v.Pools, addr) {
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
	out := slices.Concat(v.Pools, v.Self.Prefixes)
	for _, r := range v.routes {
		out = append(out, r.prefix)
	}
	return out
}

func hostPrefixes(addrs []netip.Addr) (out []netip.Prefix) {
	for _, a := range addrs {
		out = append(out, mesh.HostPrefix(a))
	}
	return out
}

func inAny(prefixes []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
}
