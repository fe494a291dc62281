package mesh

import (
	"net/netip"
	"strings"
)

// Advertisement is a container prefix that a node offers to the mesh. Other nodes see
// Prefix. The node itself reaches the containers at Local, which is the same prefix
// unless it is mapped, and has the same length.
type Advertisement struct {
	Prefix netip.Prefix // what other nodes route to
	Local  netip.Prefix // what this node dials; other nodes never see it
}

// ParseAdvertisement reads PREFIX or PREFIX=LOCAL, the value of --advertise-cidr. Both
// prefixes must have the same family and length, and no host bits.
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

// ParsePrefix reads an address prefix. It refuses host bits, a zone and the IPv4-mapped
// form; its error names the prefix that the user probably meant. Package ipam decides
// whether a node may advertise the prefix.
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

// String is the form that ParseAdvertisement reads.
func (a Advertisement) String() string {
	if a.Local == a.Prefix || !a.Local.IsValid() {
		return a.Prefix.String()
	}
	return a.Prefix.String() + "=" + a.Local.String()
}

// ToLocal maps an address of Prefix to the address with the same host bits in Local. ok
// is false if addr is not in Prefix.
func (a Advertisement) ToLocal(addr netip.Addr) (_ netip.Addr, ok bool) {
	return rebase(addr, a.Prefix, a.Local)
}

// FromLocal is the inverse of ToLocal.
func (a Advertisement) FromLocal(addr netip.Addr) (_ netip.Addr, ok bool) {
	return rebase(addr, a.Local, a.Prefix)
}

// rebase replaces the bits of the prefix from in addr with the bits of the prefix to.
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

// HostPrefix is the prefix that holds addr alone.
func HostPrefix(addr netip.Addr) netip.Prefix { return netip.PrefixFrom(addr, addr.BitLen()) }
