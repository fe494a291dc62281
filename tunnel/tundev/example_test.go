package tundev_test

import (
	"fmt"
	"net/netip"

	"nexd/tunnel/tundev"
)

// A node takes TUN mode where it may; Device.Device is then what WireGuard reads
// from.
func Example() {
	if err := tundev.Probe(); err != nil {
		fmt.Println("userspace mode:", err)
		return
	}
	d, err := tundev.New(tundev.Config{Name: "wg7"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer d.Close()
	skipped, err := d.Set([]netip.Addr{netip.MustParseAddr("100.64.0.1")}, []netip.Prefix{netip.MustParsePrefix("172.24.0.0/24")})
	fmt.Println(skipped, err)
}
