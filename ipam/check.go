package ipam

import (
	"net/netip"

	"nexd/mesh"
)

// The shortest prefixes that a node may hold. A wider prefix is no container network
// but an attempt at a default route: 0.0.0.0/1 and 128.0.0.0/1 cover everything.
const (
	MinBits4 = 8
	MinBits6 = 16
)

// forbidden ranges never hold containers. Error texts show why.
var forbidden = []struct {
	prefix netip.Prefix
	why    string
}{
	{netip.MustParsePrefix("0.0.0.0/8"), "unspecified addresses (this host)"},
	{netip.MustParsePrefix("127.0.0.0/8"), "loopback addresses"},
	{netip.MustParsePrefix("169.254.0.0/16"), "link-local addresses"},
	{netip.MustParsePrefix("224.0.0.0/4"), "multicast addresses"},
	{netip.MustParsePrefix("240.0.0.0/4"), "reserved and broadcast addresses"},
	{netip.MustParsePrefix("::/96"), "unspecified and loopback addresses"},
	{netip.MustParsePrefix("::ffff:0:0/96"), "IPv4-mapped addresses; write it as IPv4"},
	{netip.MustParsePrefix("2002::/16"), "6to4 addresses, which stand for IPv4 ones"},
	{netip.MustParsePrefix("fe80::/10"), "link-local addresses"},
	{netip.MustParsePrefix("ff00::/8"), "multicast addresses"},
}

// Check returns nil if a node may hold p in an organization whose nodes take their
// addresses from pools. Otherwise it returns the reason, of kind mesh.Invalid.
func Check(p netip.Prefix, pools ...netip.Prefix) error {
	refuse := func(format string, args ...any) error {
		return mesh.Errorf(mesh.Invalid, "ipam: prefix %v "+format, append([]any{p}, args...)...)
	}
	switch {
	case !p.IsValid():
		return mesh.Errorf(mesh.Invalid, "ipam: no prefix given")
	case p.Addr().Is4In6():
		return refuse("holds IPv4-mapped addresses; write it as IPv4")
	case p.Addr().Zone() != "":
		return refuse("has a zone")
	case p != p.Masked():
		return refuse("has host bits set; did you mean %v?", p.Masked())
	case p.Bits() == 0:
		return refuse("is a default route; only container networks can be advertised")
	}
	for _, f := range forbidden {
		if f.prefix.Overlaps(p) && p.Bits() >= f.prefix.Bits() {
			return refuse("holds %s", f.why)
		}
	}
	if p.Bits() < minBits(p) {
		return refuse("is too large: /%d is the largest network that can be advertised", minBits(p))
	}
	for _, f := range forbidden {
		if f.prefix.Overlaps(p) {
			return refuse("contains %v: %s", f.prefix, f.why)
		}
	}
	for _, pool := range pools {
		if pool.Overlaps(p) {
			return refuse("overlaps %v, from which nodes get their own addresses", pool)
		}
	}
	return nil
}

func minBits(p netip.Prefix) int {
	if p.Addr().Is4() {
		return MinBits4
	}
	return MinBits6
}
