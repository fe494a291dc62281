package node

import (
	"net/netip"

	"nexd/mesh"
)

// Identity is a node as its organization knows it.
type Identity struct {
	ID        mesh.NodeID
	Name      string
	Key       mesh.Key // of WireGuard; it proves who the node is
	Addresses []netip.Addr
	Prefixes  []netip.Prefix // that the node advertises
}

// WhoIs returns the node behind an address: a node that has it, this one included, or a
// node that advertises a prefix with it. The remote address of a connection that Listen
// accepted is its caller's, and WireGuard has proved it. Other addresses are errors as from
// DialContext.
func (n *Node) WhoIs(addr netip.Addr) (Identity, error) {
	o, err := n.view.Load().Route(addr.Unmap().WithZone(""))
	if err != nil {
		return Identity{}, err
	}
	return identity(o.Node), nil
}

// identity is a copy.
func identity(n *mesh.Node) Identity {
	return Identity{
		ID: n.ID, Name: n.Name, Key: n.Key,
		Addresses: append([]netip.Addr{}, n.Addresses...), Prefixes: append([]netip.Prefix{}, n.Prefixes...),
	}
}
