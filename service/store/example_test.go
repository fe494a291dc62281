package store_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"nexd/mesh"
	"nexd/service/store"
)

// A router and a laptop join; the snapshot shows the router's prefix.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "store-example-*")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	s, err := store.Open(ctx, filepath.Join(dir, "nexd.db"), store.Options{Create: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()
	boot, err := s.Bootstrap(ctx, store.BootstrapParams{Email: "ada@example.com", PasswordHash: "argon2id…", Key: &store.KeyParams{Uses: 2}})
	if err != nil {
		fmt.Println(err)
		return
	}
	join := func(hostname string, prefixes ...netip.Prefix) store.Registered {
		private, _ := mesh.NewPrivateKey()
		r, err := s.Register(ctx, store.Registration{Key: private.Public(), RegistrationKey: boot.KeySecret, Hostname: hostname, Prefixes: prefixes})
		if err != nil {
			fmt.Println(hostname, "is refused:", mesh.KindOf(err)) // the key's two uses are taken
		}
		return r
	}
	containers := netip.MustParsePrefix("172.24.0.0/24")
	join("router", containers)
	laptop := join("laptop")
	join("late")

	snap, err := s.Snapshot(ctx, boot.Organization.ID)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, n := range snap.Nodes {
		fmt.Println(n.Name, n.Addresses[0], n.Prefixes)
	}
	fmt.Println(s.SetAdvertised(ctx, boot.Organization.ID, laptop.Node.ID, []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}))
	// Output:
	// late is refused: denied
	// laptop 100.64.0.2 []
	// router 100.64.0.1 [172.24.0.0/24]
	// ipam: prefix 127.0.0.0/8 holds loopback addresses
}
