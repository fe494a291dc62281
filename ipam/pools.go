package ipam

import (
	"io"
	"net/netip"

	"nexd/mesh"
)

// Pool4 is where nodes get their IPv4 addresses: the shared address space of RFC
// 6598. Every organization has it for itself.
var Pool4 = netip.MustParsePrefix("100.64.0.0/10")

// NewPool6 makes the IPv6 pool of a new organization: a unique local /48 with a
// random global ID (RFC 4193). The randomness comes from rand.
func NewPool6(rand io.Reader) (netip.Prefix, error) {
	b := [16]byte{0: 0xfd}
	if _, err := io.ReadFull(rand, b[1:6]); err != nil {
		return netip.Prefix{}, mesh.Errorf(mesh.Internal, "ipam: no randomness for an IPv6 pool: %w", err)
	}
	return netip.PrefixFrom(netip.AddrFrom16(b), 48), nil
}

// CheckPools says why pools cannot serve as the address pools of an
// organization.
func CheckPools(pools ...netip.Prefix) error {
	for i, p := range pools {
		if _, _, ok := usable(p); !ok || p != p.Masked() {
			return mesh.Errorf(mesh.Invalid, "ipam: address pool %v holds no usable address or has host bits set", p)
		}
		for _, q := range pools[:i] {
			if p.Overlaps(q) {
				return mesh.Errorf(mesh.Invalid, "ipam: address pool %v overlaps %v", p, q)
			}
		}
	}
	return nil
}
