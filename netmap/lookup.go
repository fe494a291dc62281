package netmap

import (
	"net"
	"net/netip"
	"strconv"
	"syscall"

	"nexd/internal/hostport"
	"nexd/internal/lpm"
	"nexd/mesh"
)

// Place says where an address lies, seen from this node.
type Place uint8

// The places.
const (
	Outside    Place = iota // not in the mesh
	Unassigned              // in a pool, but no node has it
	Self                    // an address of this node
	Local                   // in a prefix that this node advertises
	Peer                    // an address of another node, or in a prefix of one
)

// Owner says who answers for an address.
type Owner struct {
	Place Place
	Node  *mesh.Node // of Self, Local and Peer
	Local netip.Addr // of Local: the address to dial on this host
}

// Find says who answers for addr. In a View without a map everything is Outside.
func (v *View) Find(addr netip.Addr) Owner {
	if n, ok := v.owner[addr]; ok {
		if n == &v.Self {
			return Owner{Place: Self, Node: n}
		}
		return Owner{Place: Peer, Node: n}
	}
	if n, ok := v.routes.Lookup(addr); ok {
		return Owner{Place: Peer, Node: n}
	}
	for _, a := range v.Granted {
		if local, ok := a.ToLocal(addr); ok {
			return Owner{Place: Local, Node: &v.Self, Local: local}
		}
	}
	if v.pools.Has(addr) {
		return Owner{Place: Unassigned}
	}
	return Owner{Place: Outside}
}

// Route is Find for a packet that is to go there: what nobody answers for is an error.
// It is Unavailable before the first map, NotFound for an address that no node has
// (errors.Is finds EHOSTUNREACH) and Denied for one outside the mesh.
func (v *View) Route(addr netip.Addr) (Owner, error) {
	if v.Empty() {
		return Owner{}, mesh.Errorf(mesh.Unavailable, "netmap: cannot reach %v: not joined yet", addr)
	}
	o := v.Find(addr)
	switch o.Place {
	case Unassigned:
		return o, mesh.Errorf(mesh.NotFound, "netmap: no node has the address %v: %w", addr, syscall.EHOSTUNREACH)
	case Outside:
		return o, mesh.Errorf(mesh.Denied, "netmap: %v is outside the mesh: no node has this address, and no advertised prefix contains it", addr)
	}
	return o, nil
}

// Named finds a node, this one included, by any spelling of its name.
func (v *View) Named(name string) (*mesh.Node, bool) {
	name = mesh.NodeName(name)
	n := v.names[name]
	return n, n != nil && name != ""
}

// Resolve returns the addresses of a node's name, or the one address that host spells.
// A name is Unavailable before the first map and NotFound if no node has it.
func (v *View) Resolve(host string) ([]netip.Addr, error) {
	if a, ok := hostport.Literal(host); ok {
		return []netip.Addr{a}, nil
	}
	if v.Empty() {
		return nil, mesh.Errorf(mesh.Unavailable, "netmap: cannot resolve %q: not joined yet", host)
	}
	n, ok := v.Named(host)
	if !ok || len(n.Addresses) == 0 {
		return nil, mesh.Errorf(mesh.NotFound, "netmap: no node %q in organization %s", host, v.Organization)
	}
	return n.Addresses, nil
}

// SplitAddress reads HOST:PORT of something to connect to, with a number from 1 to 65535
// for the port.
func SplitAddress(address string) (host string, port uint16, err error) {
	return splitAddress(address, 1)
}

// SplitListenAddress reads HOST:PORT of something to listen on. The port may be 0.
func SplitListenAddress(address string) (host string, port uint16, err error) {
	return splitAddress(address, 0)
}

func splitAddress(address string, least uint64) (host string, port uint16, err error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, mesh.Errorf(mesh.Invalid, "netmap: address %q must be HOST:PORT", address)
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n < least {
		return "", 0, mesh.Errorf(mesh.Invalid, "netmap: port %q of %q is not %d to 65535", text, address, least)
	}
	return host, uint16(n), nil
}

// Inbound returns what this node lets in: its own addresses and the prefixes granted
// to it.
func (v *View) Inbound() []netip.Prefix {
	return append(HostPrefixes(v.Self.Addresses), v.Self.Prefixes...)
}

// Routed returns every prefix of the organization, pools included.
func (v *View) Routed() []netip.Prefix {
	out := make([]netip.Prefix, 0, len(v.Pools)+len(v.Self.Prefixes)+len(v.Peers))
	out = append(append(out, v.Pools...), v.Self.Prefixes...)
	for _, p := range v.Peers {
		out = append(out, p.Prefixes...)
	}
	return out
}

// Pooled reports whether an address lies in a pool, from which only nodes have addresses.
func (v *View) Pooled(a netip.Addr) bool { return v.pools.Has(a) }

// Endpoints returns the UDP addresses of all nodes, this one included, that lie in a prefix of the
// mesh, as the mesh calls them: packets of the mesh could get there.
func (v *View) Endpoints(self []netip.AddrPort) (out []netip.AddrPort) {
	own := lpm.SetOf(v.Self.Prefixes)
	add := func(endpoints []netip.AddrPort) {
		for _, e := range endpoints {
			a := e.Addr().Unmap()
			if mine := v.ToMesh(a); own.Has(mine) {
				out = append(out, netip.AddrPortFrom(mine, e.Port()))
			} else if v.routes.Has(a) {
				out = append(out, netip.AddrPortFrom(a, e.Port()))
			}
		}
	}
	add(self)
	for i := range v.Peers {
		add(v.Peers[i].Endpoints)
	}
	return out
}

// ToMesh returns what the mesh calls an address behind this node: the reverse of
// Owner.Local. An address that is not behind this node stays as it is.
func (v *View) ToMesh(local netip.Addr) netip.Addr {
	for _, a := range v.Granted {
		if addr, ok := a.FromLocal(local); ok {
			return addr
		}
	}
	return local
}

// HostPrefixes returns the single-address prefixes of addrs.
func HostPrefixes(addrs []netip.Addr) []netip.Prefix {
	out := make([]netip.Prefix, 0, len(addrs)+1)
	for _, a := range addrs {
		out = append(out, mesh.HostPrefix(a))
	}
	return out
}
