package netstack

import (
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"nexd/mesh"
	"nexd/netstack/gvisor"
	"nexd/netstack/link"
)

// SetAddresses replaces this node's own addresses with addrs. Connections of
// addresses that stay are not touched. Connections of removed addresses receive
// nothing more and time out. The first address of a family is the source of
// connections that this node dials.
func (n *Net) SetAddresses(addrs []netip.Addr) error {
	unmapped := make([]netip.Addr, len(addrs))
	for i, a := range addrs {
		a = a.Unmap()
		if !a.IsValid() || a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() || a.Zone() != "" {
			return mesh.Errorf(mesh.Invalid, "netstack: own address %v: not a unicast address", a)
		}
		unmapped[i] = a
	}
	want := link.NewAddressSet(unmapped)
	n.setMu.Lock()
	defer n.setMu.Unlock()
	if n.isClosed() {
		return mesh.Errorf(mesh.Unavailable, "netstack: set addresses %v: closed", addrs)
	}
	have := n.link.Own()
	for _, a := range want.Addresses() {
		if have.Has(a) {
			continue
		}
		if err := n.stack.AddProtocolAddress(gvisor.NIC, gvisor.ProtocolAddress(a), stack.AddressProperties{}); err != nil {
			return mesh.Errorf(mesh.Internal, "netstack: add address %v: %v", a, err)
		}
	}
	n.link.SetOwn(want)
	for _, a := range have.Addresses() {
		if want.Has(a) {
			continue
		}
		if err := n.stack.RemoveAddress(gvisor.NIC, gvisor.Address(a)); err != nil {
			return mesh.Errorf(mesh.Internal, "netstack: remove address %v: %v", a, err)
		}
	}
	return nil
}

// Addresses returns this node's own addresses in the order in which they were set.
func (n *Net) Addresses() []netip.Addr { return n.link.Own().Addresses() }
