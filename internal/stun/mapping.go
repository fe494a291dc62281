package stun

import (
	"net/netip"
	"slices"
)

// Mapping is the kind of a NAT's mapping of one socket (RFC 4787, section 4.1), as far as
// the servers' responses show it.
type Mapping string

// The kinds of mapping. Kinds that two ports of one address, or two addresses with one
// port each, cannot distinguish have a common name.
const (
	MappingUnknown     Mapping = ""
	NoMapping          Mapping = "none"                       // the socket's own address
	EndpointMapping    Mapping = "endpoint-independent"       // the same for all destinations
	PortlessMapping    Mapping = "not-port-dependent"         // the same for two ports of one address; no second address responded
	AddressMapping     Mapping = "address-dependent"          // differs by address
	AddressPortMapping Mapping = "address-and-port-dependent" // differs by port too
	DependentMapping   Mapping = "dependent"                  // differs by address, and perhaps by port
)

// Depends reports whether peers see another address than a server did.
func (m Mapping) Depends() bool {
	return m == AddressMapping || m == AddressPortMapping || m == DependentMapping
}

// Known reports whether m determines Depends.
func (m Mapping) Known() bool { return m != MappingUnknown }

// Sight is one server's response: it saw the socket at Mapped.
type Sight struct{ Server, Mapped netip.AddrPort }

// MappingOf returns the mapping that follows from sights of one socket in one address
// family. local are the socket's own addresses and may be empty.
func MappingOf(sights []Sight, local ...netip.AddrPort) Mapping {
	var addrs, ports, byAddr, byPort bool // a second address, a second port of one; whether they differ
	for i, a := range sights {
		for _, b := range sights[:i] {
			differ := a.Mapped != b.Mapped
			switch {
			case a.Server == b.Server:
			case a.Server.Addr() == b.Server.Addr():
				ports, byPort = true, byPort || differ
			default:
				addrs, byAddr = true, byAddr || differ
			}
		}
	}
	switch {
	case byPort:
		return AddressPortMapping
	case byAddr && ports:
		return AddressMapping
	case byAddr:
		return DependentMapping
	case len(sights) > 0 && slices.Contains(local, sights[0].Mapped):
		return NoMapping
	case addrs:
		return EndpointMapping
	case ports:
		return PortlessMapping
	}
	return MappingUnknown
}
