package netmap

import (
	"fmt"
	"net/netip"
	"slices"

	"nexd/internal/lpm"
	"nexd/mesh"
)

// build fills in everything that follows from the map, what is live and what this
// node wants to advertise. Slices of the map are shared with it.
func (v *View) build() *View {
	var m mesh.NetworkMap
	if v.source != nil {
		m = *v.Source()
	}
	v.NetworkMap = m
	v.owner, v.names = make(map[netip.Addr]*mesh.Node, 2*len(m.Peers)), make(map[string]*mesh.Node, len(m.Peers))
	v.Peers = make([]mesh.Node, 0, len(m.Peers)) // never grows: pointers into it stay valid
	v.pools = lpm.SetOf(v.Pools)
	for _, a := range v.wanted {
		if slices.Contains(m.Self.Prefixes, a.Prefix) {
			v.Granted = append(v.Granted, a)
		}
	}
	v.Self.Prefixes = nil
	for _, a := range v.Granted {
		v.Self.Prefixes = append(v.Self.Prefixes, a.Prefix)
	}
	for _, a := range m.Self.Addresses {
		v.owner[a] = &v.Self
	}
	v.names[v.Self.Name] = &v.Self
	c := &claims{view: v, overlapping: overlapping(m.Peers), own: lpm.SetOf(v.Self.Prefixes)}
	for _, p := range m.Peers {
		if p.ID == m.Self.ID || p.Key == m.Self.Key || p.Key.IsZero() {
			continue
		}
		c.add(p)
	}
	v.routes = lpm.New(c.routes)
	return v
}

// claims decides which peer gets which address and prefix while a view is built.
type claims struct {
	view        *View
	routes      []lpm.Entry[*mesh.Node]
	overlapping map[netip.Prefix]bool // prefixes of peers that overlap another peer's
	own         *lpm.Set              // this node's prefixes
}

// overlapping returns the prefixes that overlap another one. A service that works
// hands out none.
func overlapping(peers []mesh.Node) map[netip.Prefix]bool {
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

// add takes a peer into the view, with the addresses and prefixes that no other node
// has and that a mesh may route.
func (c *claims) add(p mesh.Node) {
	v := c.view
	v.Peers = append(v.Peers, p)
	peer := &v.Peers[len(v.Peers)-1]
	peer.Addresses = Filter(p.Addresses, func(a netip.Addr) bool {
		if fault := c.addressFault(a); fault != "" {
			v.Rejected = append(v.Rejected, fmt.Sprintf("address %v of %s: %s", a, p.Name, fault))
			return false
		}
		v.owner[a] = peer
		return true
	})
	peer.Prefixes = Filter(p.Prefixes, func(pre netip.Prefix) bool {
		if fault := c.prefixFault(pre); fault != "" {
			v.Rejected = append(v.Rejected, fmt.Sprintf("prefix %v of %s: %s", pre, p.Name, fault))
			return false
		}
		c.routes = append(c.routes, lpm.Entry[*mesh.Node]{Prefix: pre, Value: peer})
		return true
	})
	if v.names[p.Name] == nil {
		v.names[p.Name] = peer
	}
}

// Filter returns the elements of all for which keep is true. It returns all itself,
// without a copy, when it keeps every element.
func Filter[T any](all []T, keep func(T) bool) []T {
	for i, one := range all {
		if keep(one) {
			continue
		}
		out := slices.Clone(all[:i])
		for _, one := range all[i+1:] {
			if keep(one) {
				out = append(out, one)
			}
		}
		return out
	}
	return all
}

func (c *claims) addressFault(a netip.Addr) string {
	if _, taken := c.view.owner[a]; taken {
		return "another node has it"
	}
	if !c.view.pools.Has(a) {
		return "it is outside the pools"
	}
	return ""
}

func (c *claims) prefixFault(p netip.Prefix) string {
	v := c.view
	switch {
	case p != p.Masked() || p.Bits() < 1:
		return "no proper prefix"
	case p.Addr().IsLoopback() || p.Addr().IsLinkLocalUnicast() || p.Addr().IsMulticast() || p.Addr().Is4In6():
		return "not routable"
	}
	if v.pools.Overlaps(p) {
		i := slices.IndexFunc(v.Pools, p.Overlaps)
		return fmt.Sprintf("it overlaps the node addresses %v", v.Pools[i])
	}
	if c.overlapping[p] {
		for _, r := range c.routes {
			if r.Prefix.Overlaps(p) {
				return fmt.Sprintf("it overlaps %v of %s", r.Prefix, r.Value.Name)
			}
		}
	}
	if c.own.Overlaps(p) {
		i := slices.IndexFunc(v.Self.Prefixes, p.Overlaps)
		return fmt.Sprintf("it overlaps this node's own %v", v.Self.Prefixes[i])
	}
	return ""
}
