package netmap_test

import (
	"fmt"
	"net/netip"

	"nexd/mesh"
	"nexd/netmap"
)

func Example() {
	view := netmap.New(nil) // this node advertises nothing
	fmt.Println("empty:", view.Empty())

	view, _ = view.Replace(&mesh.NetworkMap{
		Version: mesh.Version{Epoch: "e", Rev: 1}, Organization: "default",
		Pools: []netip.Prefix{netip.MustParsePrefix("100.64.0.0/10")},
		Self:  mesh.Node{ID: "n_2", Name: "laptop", Key: mesh.Key{2}, Addresses: []netip.Addr{netip.MustParseAddr("100.64.0.2")}},
		Peers: []mesh.Node{{
			ID: "n_1", Name: "router", Key: mesh.Key{1},
			Addresses: []netip.Addr{netip.MustParseAddr("100.64.0.1")},
			Prefixes:  []netip.Prefix{netip.MustParsePrefix("172.24.0.0/24")},
		}},
	})
	owner, err := view.Route(netip.MustParseAddr("172.24.0.10"))
	fmt.Println(owner.Node.Name, err)
	fmt.Println(view.Resolve("router.nexd.internal"))
	_, err = view.Route(netip.MustParseAddr("192.0.2.1"))
	fmt.Println(err)
	// Output:
	// empty: true
	// router <nil>
	// [100.64.0.1] <nil>
	// netmap: 192.0.2.1 is outside the mesh: no node has this address, and no advertised prefix contains it
}
