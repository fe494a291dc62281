package addrlimit

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

func TestBudgets(t *testing.T) {
	const burst = 600
	now := time.Unix(1_800_000_000, 0)
	l := New(func() time.Time { return now }, 5*time.Millisecond, burst)
	use := func(a string, n int) (allowed int) {
		for range n {
			if l.Allow(netip.MustParseAddr(a)) {
				allowed++
			}
		}
		return allowed
	}
	if got := use("192.0.2.1", burst+10); got != burst {
		t.Errorf("one address may %d", got)
	}
	if got := use("::ffff:192.0.2.1", 1); got != 0 {
		t.Error("an IPv4 address in IPv6's form has a budget of its own")
	}
	if got := use("192.0.2.2", 10); got != 10 {
		t.Errorf("its neighbour may %d of 10", got)
	}
	use("2001:db8:1:2::1", burst)
	if use("2001:db8:1:2:ffff::1", 1) != 0 || use("2001:db8:1:3::1", 1) != 1 {
		t.Error("IPv6 is not counted by /64")
	}
	for range burst {
		l.Allow(netip.Addr{})
	}
	if l.Allow(netip.Addr{}) {
		t.Error("unknown addresses have no limit")
	}
	now = now.Add(time.Second)
	if got := use("192.0.2.1", 1000); got != 200 {
		t.Errorf("after a second %d", got)
	}
}

func TestTheTableIsBounded(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	l := New(func() time.Time { return now }, time.Second, 1)
	spent := 0
	for i := range entries + 500 {
		if l.Allow(netip.MustParseAddr(fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255))) {
			spent++
		}
	}
	if len(l.bySource) > entries || spent != entries+1 { // the rest share one
		t.Errorf("%d entries, %d allowed", len(l.bySource), spent)
	}
	now = now.Add(time.Hour)
	l.Allow(netip.MustParseAddr("198.51.100.1"))
	if len(l.bySource) > 10 {
		t.Errorf("%d entries are left after an hour", len(l.bySource))
	}
}

func TestSource(t *testing.T) {
	for from, want := range map[string]string{
		"192.0.2.1": "192.0.2.1/32", "::ffff:192.0.2.1": "192.0.2.1/32", "2001:db8::1:2:3:4": "2001:db8::/64", "fe80::1%eth0": "fe80::/64",
	} {
		if got := Source(netip.MustParseAddr(from)); got.String() != want {
			t.Errorf("Source(%s) = %v, want %s", from, got, want)
		}
	}
}
