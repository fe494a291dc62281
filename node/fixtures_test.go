package node

import (
	"net/netip"
	"testing"

	"nexd/mesh"
	"nexd/netmap"
)

func addrs(ss ...string) (out []netip.Addr) {
	for _, s := range ss {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

func prefixes(ss ...string) (out []netip.Prefix) {
	for _, s := range ss {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func advertise(t *testing.T, ss ...string) (out []mesh.Advertisement) {
	t.Helper()
	for _, s := range ss {
		a, err := mesh.ParseAdvertisement(s)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, a)
	}
	return out
}

// testMap is a laptop (self) and two routers.
func testMap() *mesh.NetworkMap {
	return &mesh.NetworkMap{
		Version: mesh.Version{Epoch: "e", Rev: 1}, Organization: "default",
		Pools: prefixes("100.64.0.0/10", "fd00:1::/48"),
		Self:  mesh.Node{ID: "s", Name: "laptop", Key: mesh.Key{9}, Addresses: addrs("100.64.0.9", "fd00:1::9"), Prefixes: prefixes("10.7.0.0/24")},
		Peers: []mesh.Node{
			{ID: "a", Name: "node1", Key: mesh.Key{1}, Addresses: addrs("100.64.0.1"), Prefixes: prefixes("172.24.0.0/24")},
			{ID: "b", Name: "node2", Key: mesh.Key{2}, Addresses: addrs("100.64.0.2"), Prefixes: prefixes("172.28.0.0/24")},
		},
	}
}

// testView is the view of the laptop of testMap.
func testView(wanted []mesh.Advertisement) *netmap.View {
	v, _ := netmap.New(wanted).Replace(testMap())
	return v
}
