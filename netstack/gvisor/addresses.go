package gvisor

import (
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// NIC is the number of the stack's only interface.
const NIC tcpip.NICID = 1

// OptionSpace is the number of bytes per segment that gVisor reserves for TCP
// options (timestamps and SACK blocks).
const OptionSpace = 40

// Overhead returns the header bytes of a TCP data segment: the IP header, the TCP
// header and OptionSpace.
func Overhead(is4 bool) int {
	if is4 {
		return header.IPv4MinimumSize + header.TCPMinimumSize + OptionSpace
	}
	return header.IPv6MinimumSize + header.TCPMinimumSize + OptionSpace
}

// Address converts a to gVisor's type.
func Address(a netip.Addr) tcpip.Address { return tcpip.AddrFromSlice(a.AsSlice()) }

// Addr converts an address of gVisor's to a netip.Addr.
func Addr(a tcpip.Address) netip.Addr {
	ip, _ := netip.AddrFromSlice(a.AsSlice())
	return ip
}

// FullAddress converts an address and port for Bind and Connect. The unspecified
// address becomes gVisor's empty address, which means any local address.
func FullAddress(ap netip.AddrPort) tcpip.FullAddress {
	f := tcpip.FullAddress{NIC: NIC, Port: ap.Port()}
	if !ap.Addr().IsUnspecified() {
		f.Addr = Address(ap.Addr())
	}
	return f
}

// Protocol returns the network protocol of an address.
func Protocol(a netip.Addr) tcpip.NetworkProtocolNumber { return protocol(a.Is4()) }

func protocol(is4 bool) tcpip.NetworkProtocolNumber {
	if is4 {
		return ipv4.ProtocolNumber
	}
	return ipv6.ProtocolNumber
}

// ProtocolAddress converts a for Stack.AddProtocolAddress.
func ProtocolAddress(a netip.Addr) tcpip.ProtocolAddress {
	return tcpip.ProtocolAddress{Protocol: Protocol(a), AddressWithPrefix: Address(a).WithPrefix()}
}

// Ends returns the remote and the local end of a flow that came in.
func Ends(id stack.TransportEndpointID) (remote, local netip.AddrPort) {
	return netip.AddrPortFrom(Addr(id.RemoteAddress), id.RemotePort),
		netip.AddrPortFrom(Addr(id.LocalAddress), id.LocalPort)
}
