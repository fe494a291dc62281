package netstack

import (
	"net/netip"
	"slices"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"nexd/mesh"
)

// addressSet is this node's own addresses. A node has two or so, thus a list is
// the fastest look-up. It is never changed, only replaced.
type addressSet struct{ addrs []netip.Addr }

func (s *addressSet) has(a netip.Addr) bool { return slices.Contains(s.addrs, a) }

// hasRaw is has for the 4 or 16 bytes of an address in a packet.
func (s *addressSet) hasRaw(raw []byte) bool {
	a, _ := netip.AddrFromSlice(raw)
	return s.has(a)
}

// source is the own address to speak to dst from.
func (s *addressSet) source(dst netip.Addr) (netip.Addr, bool) {
	if s.has(dst) {
		return dst, true
	}
	for _, a := range s.addrs {
		if a.Is4() == dst.Is4() {
			return a, true
		}
	}
	return netip.Addr{}, false
}

// SetAddresses makes addrs this node's own addresses: the whole wanted state.
// Connections of addresses that stay are not touched; those of addresses that go
// die of silence. Order counts: the first address of a family is the source of
// what this node dials.
func (n *Net) SetAddresses(addrs []netip.Addr) error {
	want := &addressSet{addrs: make([]netip.Addr, 0, len(addrs))}
	for _, a := range addrs {
		a = a.Unmap()
		if !a.IsValid() || a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() || a.Zone() != "" {
			return mesh.Errorf(mesh.Invalid, "netstack: own address %v: not a unicast address", a)
		}
		if !want.has(a) {
			want.addrs = append(want.addrs, a)
		}
	}
	n.setMu.Lock()
	defer n.setMu.Unlock()
	if n.isClosed() {
		return mesh.Errorf(mesh.Unavailable, "netstack: set addresses %v: closed", addrs)
	}
	have := n.link.own.Load()
	for _, a := range want.addrs {
		if have.has(a) {
			continue
		}
		if err := n.stack.AddProtocolAddress(nicID, protocolAddress(a), stack.AddressProperties{}); err != nil {
			return mesh.Errorf(mesh.Internal, "netstack: add address %v: %v", a, err)
		}
	}
	n.link.own.Store(want)
	for _, a := range have.addrs {
		if want.has(a) {
			continue
		}
		if err := n.stack.RemoveAddress(nicID, toAddress(a)); err != nil {
			return mesh.Errorf(mesh.Internal, "netstack: remove address %v: %v", a, err)
		}
	}
	return nil
}

// Addresses are this node's own addresses, as they were set.
func (n *Net) Addresses() []netip.Addr { return slices.Clone(n.link.own.Load().addrs) }

func toAddress(a netip.Addr) tcpip.Address { return tcpip.AddrFromSlice(a.AsSlice()) }

func fromAddress(a tcpip.Address) netip.Addr {
	ip, _ := netip.AddrFromSlice(a.AsSlice())
	return ip
}

func fullAddress(ap netip.AddrPort) tcpip.FullAddress {
	f := tcpip.FullAddress{NIC: nicID, Port: ap.Port()}
	if !ap.Addr().IsUnspecified() {
		f.Addr = toAddress(ap.Addr())
	}
	return f
}

func protocolOf(a netip.Addr) tcpip.NetworkProtocolNumber {
	if a.Is4() {
		return ipv4.ProtocolNumber
	}
	return ipv6.ProtocolNumber
}

func protocolAddress(a netip.Addr) tcpip.ProtocolAddress {
	return tcpip.ProtocolAddress{Protocol: protocolOf(a), AddressWithPrefix: toAddress(a).WithPrefix()}
}
