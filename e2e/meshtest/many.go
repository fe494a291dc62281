package meshtest

import (
	"fmt"
	"net/netip"
	"time"

	"nexd/mesh"
)

// ManyNodes is an organization of n nodes, each with two addresses, a prefix and
// four places where it may be; the last of those is at.
func ManyNodes(own mesh.Key, n int, at netip.AddrPort) *mesh.NetworkMap {
	m := &mesh.NetworkMap{
		Version: mesh.Version{Epoch: "e", Rev: 1}, Organization: "large", Pools: []netip.Prefix{netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("fd00:1::/48")},
		Self: mesh.Node{ID: "self", Name: "self", Key: own, Addresses: []netip.Addr{netip.MustParseAddr("100.127.0.1"), netip.MustParseAddr("fd00:1::ffff:1")}},
	}
	for i := range n {
		hi, lo := byte(i>>8), byte(i)
		v6 := netip.MustParseAddr("fd00:1::").As16()
		v6[13], v6[14], v6[15] = 1, hi, lo
		m.Peers = append(m.Peers, mesh.Node{
			ID: mesh.NodeID(fmt.Sprintf("7d1f0c1a-0000-4000-8000-%012d", i)), Name: fmt.Sprintf("node-%05d", i), Key: mesh.Key{1, hi, lo, 31: 1},
			Addresses: []netip.Addr{netip.AddrFrom4([4]byte{100, 64, hi, lo}), netip.AddrFrom16(v6)},
			Prefixes:  []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, hi, lo, 0}), 24)},
			Endpoints: []netip.AddrPort{
				netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 168, hi, lo}), 51820), netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 18, hi, lo}), 51820),
				netip.AddrPortFrom(netip.AddrFrom16([16]byte{0x20, 1, 0x0d, 0xb8, 14: hi, 15: lo}), 51820), at,
			},
			Online: true, LastSeen: time.Unix(1.7e9, 0).UTC(),
		})
	}
	return m
}
