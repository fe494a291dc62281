package stun

import (
	"net/netip"
	"slices"
)

// Mapping says what a NAT's mapping of one socket depends on: RFC 4787, section
// 4.1, as far as the servers that were asked can show it.
type Mapping string

// The mappings. What two ports of one address, or two addresses with one port
// each, cannot tell apart has a name of its own.
const (
	MappingUnknown     Mapping = ""
	NoMapping          Mapping = "none"                       // the outside sees the socket's own address
	EndpointMapping    Mapping = "endpoint-independent"       // the same for all
	PortlessMapping    Mapping = "not-port-dependent"         // the same for two ports of one address; no second address was asked
	AddressMapping     Mapping = "address-dependent"          // another for another address
	AddressPortMapping Mapping = "address-and-port-dependent" // another for another port, too
	DependentMapping   Mapping = "dependent"                  // another for another address, perhaps for another port
)

// Depends says whether peers see another address than a server did.
func (m Mapping) Depends() bool {
	return m == AddressMapping || m == AddressPortMapping || m == DependentMapping
}

// Known says whether m says anything about Depends.
func (m Mapping) Known() bool { return m != MappingUnknown }

// Sight is what one server said: it saw the socket at Mapped.
type Sight struct{ Server, Mapped netip.AddrPort }

// MappingOf is the mapping that sights of one socket, of one address family,
// show. local are the socket's own addresses; may be empty.
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
