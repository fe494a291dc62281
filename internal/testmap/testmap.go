// Package testmap is a small network map for tests, and short ways to write addresses.
package testmap

import (
	"net/netip"
	"testing"

	"nexd/mesh"
)

// Addrs parses addresses.
func Addrs(texts ...string) (out []netip.Addr) {
	for _, s := range texts {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

// Prefixes parses prefixes.
func Prefixes(texts ...string) (out []netip.Prefix) {
	for _, s := range texts {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// Advertise parses PREFIX or PREFIX=LOCAL.
func Advertise(t testing.TB, texts ...string) (out []mesh.Advertisement) {
	t.Helper()
	for _, s := range texts {
		a, err := mesh.ParseAdvertisement(s)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, a)
	}
	return out
}

// Laptop is the map of a laptop with two routers as its peers. Its own prefix is
// 10.7.0.0/24.
func Laptop() *mesh.NetworkMap {
	return &mesh.NetworkMap{
		Version: mesh.Version{Epoch: "e", Rev: 1}, Organization: "default",
		Pools: Prefixes("100.64.0.0/10", "fd00:1::/48"),
		Self:  mesh.Node{ID: "s", Name: "laptop", Key: mesh.Key{9}, Addresses: Addrs("100.64.0.9", "fd00:1::9"), Prefixes: Prefixes("10.7.0.0/24")},
		Peers: []mesh.Node{
			{ID: "a", Name: "node1", Key: mesh.Key{1}, Addresses: Addrs("100.64.0.1"), Prefixes: Prefixes("172.24.0.0/24")},
			{ID: "b", Name: "node2", Key: mesh.Key{2}, Addresses: Addrs("100.64.0.2"), Prefixes: Prefixes("172.28.0.0/24")},
		},
	}
}
