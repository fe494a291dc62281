package ipam

import (
	"io"
	"net/netip"

	"nexd/mesh"
)

// Pool4 is the pool of IPv4 addresses of every organization: the shared address space
// of RFC 6598. Organizations are separate, so all of them use the whole pool.
var Pool4 = netip.MustParsePrefix("100.64.0.0/10")

// NewPool6 makes the IPv6 pool of a new organization: a unique local /48 (RFC 4193)
// with a global ID from rand.
func NewPool6(rand io.Reader) (netip.Prefix, error) {
	b := [16]byte{0: 0xfd}
	if _, err := io.ReadFull(rand, b[1:6]); err != nil {
		return netip.Prefix{}, mesh.Errorf(mesh.Internal, "ipam: no randomness for an IPv6 pool: %w", err)
	}
	return netip.PrefixFrom(netip.AddrFrom16(b), 48), nil
}
