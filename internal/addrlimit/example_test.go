package addrlimit_test

import (
	"fmt"
	"net/netip"
	"time"

	"nexd/internal/addrlimit"
)

// Two addresses of one IPv6 /64 share a budget.
func ExampleLimiter() {
	l := addrlimit.New(time.Now, time.Hour, 2)
	for _, a := range []string{"2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8:0:1::1"} {
		fmt.Println(a, l.Allow(netip.MustParseAddr(a)))
	}
	// Output:
	// 2001:db8::1 true
	// 2001:db8::2 true
	// 2001:db8::3 false
	// 2001:db8:0:1::1 true
}
