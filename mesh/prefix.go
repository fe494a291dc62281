package mesh

import (
	"net/netip"
	"strings"
)

// Advertisement is a container prefix a node offers to the mesh. The mesh sees
// Prefix; the node itself reaches the containers at Local, which has the same
// size and is the same prefix unless mapped.
type Advertisement struct {
	Prefix netip.Prefix // what other nodes route to
	Local  netip.Prefix // what this node dials; never leaves the node
}

// ParseAdvertisement reads PREFIX or PREFIX=LOCAL as given to --advertise-cidr.
// Both sides must be of one family and one size, without host bits.
func ParseAdvertisement(s string) (Advertisement, error) {
	adv, local, mapped := strings.Cut(s, "=")
	p, err := ParsePrefix(adv)
	if err != nil {
		return Advertisement{}, err
	}
	if !mapped {
		return Advertisement{Prefix: p, Local: p}, nil
	}
	l, err := ParsePrefix(local)
	if err != nil {
		return Advertisement{}, err
	}
	if p.Addr().Is4() != l.Addr().Is4() || p.Bits() != l.Bits() {
		return Advertisement{}, Errorf(Invalid, "mesh: prefix mapping %q: %v and %v differ in size; both sides need the same family and length", s, p, l)
	}
	return Advertisement{Prefix: p, Local: l}, nil
}

// ParsePrefix reads an address prefix and refuses one with host bits set, a
// zone, or in IPv4-mapped form, naming the prefix that was probably meant.
// Whether a prefix may be advertised is for package ipam to say.
func ParsePrefix(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		if a, aerr := netip.ParseAddr(s); aerr == nil {
			return netip.Prefix{}, Errorf(Invalid, "mesh: prefix %q has no length; for one address write %v/%d", s, a, a.BitLen())
		}
		return netip.Prefix{}, Errorf(Invalid, "mesh: prefix %q is not of the form ADDRESS/LENGTH", s)
	}
	if p.Addr().Is4In6() {
		return netip.Prefix{}, Errorf(Invalid, "mesh: prefix %q is an IPv4-mapped IPv6 prefix; write it as IPv4", s)
	}
	if p != p.Masked() {
		return netip.Prefix{}, Errorf(Invalid, "mesh: prefix %q has host bits set; did you mean %v?", s, p.Masked())
	}
	return p, nil
}

// String is the form ParseAdvertisement reads.
func (a Advertisement) String() string {
	if a.Local == a.Prefix || !a.Local.IsValid() {
		return a.Prefix.String()
	}
	return a.Prefix.String() + "=" + a.Local.String()
}

// ToLocal maps an address of Prefix to the same place in Local; ok is false when
// addr is not in Prefix.
func (a Advertisement) ToLocal(addr netip.Addr) (_ netip.Addr, ok bool) {
	return rebase(addr, a.Prefix, a.Local)
}

// FromLocal is the reverse of ToLocal.
func (a Advertisement) FromLocal(addr netip.Addr) (_ netip.Addr, ok bool) {
	return rebase(addr, a.Local, a.Prefix)
}

// rebase keeps addr's host bits and replaces the bits of prefix from by those of
// prefix to.
func rebase(addr netip.Addr, from, to netip.Prefix) (netip.Addr, bool) {
	addr = addr.Unmap()
	if !from.Contains(addr) {
		return netip.Addr{}, false
	}
	if from == to {
		return addr, true
	}
	host, base := addr.AsSlice(), to.Addr().AsSlice()
	for i := range host {
		keep := min(max(to.Bits()-8*i, 0), 8) // bits of this byte that the prefix owns
		mask := byte(0xff << (8 - keep))
		host[i] = base[i]&mask | host[i]&^mask
	}
	out, _ := netip.AddrFromSlice(host)
	return out, true
}

// HostPrefix is the single-address prefix of addr.
func HostPrefix(addr netip.Addr) netip.Prefix { return netip.PrefixFrom(addr, addr.BitLen()) }
