package bucket_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"nexd/internal/bucket"
)

var t0 = time.Unix(1_800_000_000, 0)

func TestBucketLetsItsRateThrough(t *testing.T) {
	var b bucket.Bucket
	r := bucket.Rate{PerSecond: 10, Burst: 5}
	passed := 0
	for i := range 1000 { // 10 s, 100 a second
		if b.Take(r, 1, t0.Add(time.Duration(i)*10*time.Millisecond)) {
			passed++
		}
	}
	if passed < 100 || passed > 106 {
		t.Errorf("%d passed in 10 s at 10 a second", passed)
	}
	if b.Take(r, 6, t0.Add(time.Hour)) {
		t.Error("more than the burst passed at once")
	}
}

func TestClockThatGoesBackGivesNothing(t *testing.T) {
	var b bucket.Bucket
	r := bucket.Rate{PerSecond: 1, Burst: 1}
	if !b.Take(r, 1, t0) || b.Take(r, 1, t0.Add(-time.Hour)) || b.Take(r, 1, t0) {
		t.Error("a clock that goes back fills the bucket")
	}
}

func TestNoRateIsNoLimit(t *testing.T) {
	var b bucket.Bucket
	for range 100 {
		if !b.Take(bucket.Rate{}, 1e9, t0) {
			t.Fatal("limited")
		}
	}
}

func TestTableKeepsSourcesApart(t *testing.T) {
	tab := bucket.NewTable(bucket.Rate{PerSecond: 1, Burst: 1}, 1<<16)
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	if !tab.Take(a, t0) || tab.Take(a, t0) || !tab.Take(b, t0) {
		t.Error("one source spent another's budget, or its own twice")
	}
	if tab.Take(netip.MustParseAddr("::ffff:192.0.2.1"), t0) {
		t.Error("an IPv4-mapped address is another source")
	}
	x, y := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")
	if !tab.Take(x, t0) || tab.Take(y, t0) {
		t.Error("addresses of one /64 are several sources")
	}
}

func Example() {
	tab := bucket.NewTable(bucket.Rate{PerSecond: 1, Burst: 2}, 4096)
	from, now := netip.MustParseAddr("192.0.2.1"), time.Unix(0, 0)
	fmt.Println(tab.Take(from, now), tab.Take(from, now), tab.Take(from, now), tab.Take(from, now.Add(time.Second)))
	// Output: true true false true
}
