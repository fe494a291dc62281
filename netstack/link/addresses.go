package link

import (
	"net/netip"
	"slices"
)

// AddressSet is a node's own addresses. It is immutable. A node has about two
// addresses, so a list is the fastest lookup.
type AddressSet struct{ addrs []netip.Addr }

// NewAddressSet returns the set of addrs without duplicates, in the same order.
func NewAddressSet(addrs []netip.Addr) *AddressSet {
	s := &AddressSet{addrs: make([]netip.Addr, 0, len(addrs))}
	for _, a := range addrs {
		if !s.Has(a) {
			s.addrs = append(s.addrs, a)
		}
	}
	return s
}

// Addresses returns a copy of the list.
func (s *AddressSet) Addresses() []netip.Addr { return slices.Clone(s.addrs) }

// Has reports whether a is one of the node's own addresses.
func (s *AddressSet) Has(a netip.Addr) bool { return slices.Contains(s.addrs, a) }

// hasRaw is Has for the 4 or 16 bytes of an address in a packet.
func (s *AddressSet) hasRaw(raw []byte) bool {
	a, _ := netip.AddrFromSlice(raw)
	return s.Has(a)
}

// Source returns the own address to use as source towards dst: dst itself if it is
// an own address, else the first own address of the same family.
func (s *AddressSet) Source(dst netip.Addr) (netip.Addr, bool) {
	if s.Has(dst) {
		return dst, true
	}
	for _, a := range s.addrs {
		if a.Is4() == dst.Is4() {
			return a, true
		}
	}
	return netip.Addr{}, false
}
