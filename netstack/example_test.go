package netstack_test

import (
	"context"
	"fmt"
	"io"
	"net/netip"

	"nexd/netstack"
)

// Two nodes, one of them a router: it answers for a container's address. In
// nexd WireGuard stands between their devices.
func Example() {
	laptop, _ := netstack.New(netstack.Config{Addresses: []netip.Addr{netip.MustParseAddr("100.64.0.2")}})
	router, _ := netstack.New(netstack.Config{Addresses: []netip.Addr{netip.MustParseAddr("100.64.0.1")}})
	defer laptop.Close()
	defer router.Close()
	w := new(wire)
	go w.pump(laptop.Device(), router.Device(), 1)
	go w.pump(router.Device(), laptop.Device(), 2)

	router.HandleInbound(netstack.Inbound{TCP: func(f *netstack.TCPFlow) {
		if f.Destination().Port() != 80 {
			f.Refuse()
			return
		}
		c, err := f.Accept(context.Background())
		if err != nil {
			return
		}
		defer c.Close()
		fmt.Fprintf(c, "hello from %v", c.LocalAddr())
	}})

	c, err := laptop.DialContext(context.Background(), "tcp", "172.24.0.10:80")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	b, err := io.ReadAll(c)
	fmt.Println(string(b), err)
	_, err = laptop.DialContext(context.Background(), "tcp", "172.24.0.10:81")
	fmt.Println(err)
	// Output:
	// hello from 172.24.0.10:80 <nil>
	// dial tcp 172.24.0.10:81: connection refused
}
