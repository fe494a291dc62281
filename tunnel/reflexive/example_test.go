package reflexive_test

import (
	"fmt"
	"net/netip"
	"time"

	"nexd/internal/stun"
	"nexd/tunnel/reflexive"
)

// The owner of a socket asks one server, whose answer it makes up here.
func ExampleClient() {
	server := netip.MustParseAddrPort("192.0.2.1:3478")
	c := reflexive.New()
	c.SetServers([]netip.AddrPort{server})

	now := time.Second
	requests, _ := c.Requests(now, true)
	for to, request := range requests {
		fmt.Println("ask", to)
		r, _ := stun.ParseRequest(request)
		answer := stun.Response{ID: r.ID, Mapped: netip.MustParseAddrPort("203.0.113.7:40001")}.Append(nil, false)
		fmt.Println("taken:", c.Answer(answer, to))
	}
	mapped, changed := c.Changed(now)
	fmt.Println(mapped.Addrs, changed)
	// Output:
	// ask 192.0.2.1:3478
	// taken: true
	// [203.0.113.7:40001] true
}
