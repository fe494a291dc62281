package tundev

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"nexd/internal/eventually"
	"nexd/internal/leak"
	"nexd/internal/nstest"
	"nexd/mesh"
)

var (
	mine  = []string{"100.64.0.1", "fd00::1"}
	peers = []string{"100.64.0.2/32", "fd00::2/128", "172.24.0.0/24", "fd00:24::/64"}
	all   = []string{"100.64.0.1/32", "100.64.0.2/32", "172.24.0.0/24", "fd00:24::/64", "fd00::1/128", "fd00::2/128"}
)

// device makes one with the name, and runs it.
func device(t *testing.T, name string) *Device {
	t.Helper()
	d, err := New(Config{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func runs(t *testing.T, d *Device) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
}

func set(t *testing.T, d *Device, addrs []string, routes ...string) []Skipped {
	t.Helper()
	skipped, err := d.Set(addresses(addrs...), prefixes(routes...))
	if err != nil {
		t.Fatal(err)
	}
	return skipped
}

func mustRoute(t *testing.T, d *Device, want ...string) {
	t.Helper()
	if got, ok := routed(t, d); !slices.Equal(got, want) || !ok {
		t.Fatalf("routes %v, rules %v\nwant   %v", got, ok, want)
	}
}

func TestEverythingIsMadeAndTakenAway(t *testing.T) {
	isolated(t)
	leak.Check(t)
	before := snapshot(t)
	d := device(t, "wg0")
	for range 2 { // the second time changes nothing
		if s := set(t, d, mine, peers...); len(s) > 0 {
			t.Errorf("skipped %v", s)
		}
		mustRoute(t, d, all...)
	}
	link, err := netlink.LinkByName("wg0")
	if err != nil || link.Attrs().MTU != mesh.DefaultMTU {
		t.Errorf("MTU %d, %v", link.Attrs().MTU, err)
	}
	addrs, err := netlink.AddrList(link, netlink.FAMILY_ALL)
	if err != nil || len(addrs) != 2 {
		t.Errorf("addresses %v, %v", addrs, err)
	}
	set(t, d, []string{"100.64.0.9"}, "172.28.0.0/24")
	mustRoute6Gone(t, d)
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if after := snapshot(t); after != before {
		t.Errorf("left behind:\n%s\nbefore:\n%s", after, before)
	}
	if err := d.Close(); err != nil {
		t.Errorf("second Close = %v", err)
	}
	if _, err := d.Set(nil, nil); err != nil {
		t.Errorf("Set after Close = %v", err)
	}
}

func mustRoute6Gone(t *testing.T, d *Device) {
	t.Helper()
	if got, _ := routed(t, d); !slices.Equal(got, []string{"100.64.0.9/32", "172.28.0.0/24"}) {
		t.Errorf("after the change: %v", got)
	}
}

func TestAnInterfaceThatExistsIsRefused(t *testing.T) {
	isolated(t)
	network(t, "taken0", "")
	if _, err := New(Config{Name: "taken0"}); mesh.KindOf(err) != mesh.Conflict || !errors.Is(err, ErrExists) || !strings.Contains(err.Error(), "taken0") {
		t.Errorf("over a veth: %v", err)
	}
	device(t, "wg0")
	if _, err := New(Config{}); mesh.KindOf(err) != mesh.Conflict {
		t.Errorf("over another TUN: %v", err)
	}
	if _, err := New(Config{Name: "wg%d"}); mesh.KindOf(err) != mesh.Invalid {
		t.Errorf("a pattern: %v", err)
	}
}

func TestLocalNetworksAreKept(t *testing.T) {
	isolated(t)
	leak.Check(t)
	eth := network(t, "lan0", "172.24.0.1/16")
	gw := netlink.Route{LinkIndex: eth.Attrs().Index, Dst: ipNet(netip.MustParsePrefix("10.9.0.0/16")), Gw: net.IPv4(172, 24, 0, 254)}
	if err := netlink.RouteAdd(&gw); err != nil {
		t.Fatal(err)
	}
	d := device(t, "wg0")
	runs(t, d)
	skipped := set(t, d, mine, append(peers, "10.9.8.0/24", "172.28.0.0/24")...)
	if len(skipped) != 2 || !strings.Contains(skipped[0].Why, "10.9.0.0/16 via 172.24.0.254 on lan0") || !strings.Contains(skipped[1].Why, "172.24.0.0/16 on lan0") {
		t.Fatalf("skipped %v", skipped)
	}
	mustRoute(t, d, "100.64.0.1/32", "100.64.0.2/32", "172.28.0.0/24", "fd00:24::/64", "fd00::1/128", "fd00::2/128")
	if err := netlink.RouteDel(&gw); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "the route comes when the conflict is gone", func() bool {
		got, _ := routed(t, d)
		return slices.Contains(got, "10.9.8.0/24")
	})
	network(t, "lan1", "172.28.0.1/24")
	eventually.True(t, "the route goes when a network comes", func() bool {
		got, _ := routed(t, d)
		return !slices.Contains(got, "172.28.0.0/24") && len(d.Skipped()) == 2
	})
}

func TestWhatOthersTakeAwayComesBack(t *testing.T) {
	isolated(t)
	leak.Check(t)
	d := device(t, "wg0")
	runs(t, d)
	set(t, d, mine, peers...)
	back := func() bool { got, ok := routed(t, d); return ok && slices.Equal(got, all) }
	for _, family := range families {
		if err := removeRule(d.nl, family, d.Table()); err != nil {
			t.Fatal(err)
		}
	}
	eventually.True(t, "the rules are back", back)
	link, err := netlink.LinkByName("wg0")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetDown(link); err != nil {
		t.Fatal(err)
	}
	eventually.Stays(t, 2*settle, "the interface is down", func() bool {
		l, err := netlink.LinkByName("wg0")
		return err == nil && l.Attrs().Flags&net.FlagUp == 0
	})
	if err := netlink.LinkSetUp(link); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "addresses and routes are back after down and up", back)
}

func TestLeftoversOfAKilledOneAreRemoved(t *testing.T) {
	isolated(t)
	before := snapshot(t)
	kill := func() {
		t.Helper()
		end := nstest.Victim(t)
		if removed, err := Clean(); err != nil || len(removed) > 0 {
			t.Errorf("Clean beside a living one = %v, %v", removed, err)
		}
		end()
	}
	kill()
	if snapshot(t) == before {
		t.Fatal("a killed one leaves nothing: this test tests nothing")
	}
	if removed, err := Clean(); err != nil || len(removed) != 2 {
		t.Errorf("Clean = %v, %v", removed, err)
	}
	if after := snapshot(t); after != before {
		t.Errorf("after Clean:\n%s\nbefore:\n%s", after, before)
	}
	kill()
	d := device(t, "wg0")
	set(t, d, mine, peers...)
	mustRoute(t, d, all...)
	d.Close()
	if after := snapshot(t); after != before {
		t.Errorf("after a start and stop:\n%s\nbefore:\n%s", after, before)
	}
}

func TestTwoBesideEachOther(t *testing.T) {
	isolated(t)
	a, b := device(t, "wg0"), device(t, "wg1")
	set(t, a, mine, peers...)
	skipped := set(t, b, []string{"100.64.0.3", "fd00::3"}, "100.64.0.1/32", "172.24.0.0/25", "172.29.0.0/24")
	if a.Table() == b.Table() {
		t.Fatalf("both have table %d", a.Table())
	}
	if len(skipped) != 2 || !strings.Contains(skipped[1].Why, "another nexd routes to wg0") {
		t.Errorf("skipped %v", skipped)
	}
	mustRoute(t, b, "100.64.0.3/32", "172.29.0.0/24", "fd00::3/128")
	a.Close()
	mustRoute(t, b, "100.64.0.3/32", "172.29.0.0/24", "fd00::3/128")
}

func TestOnlyUnmarkedPacketsEnter(t *testing.T) {
	isolated(t)
	leak.Check(t)
	lan := network(t, "lan0", "192.0.2.1/24")
	def := netlink.Route{LinkIndex: lan.Attrs().Index, Gw: net.IPv4(192, 0, 2, 254)}
	if err := netlink.RouteAdd(&def); err != nil {
		t.Fatal(err)
	}
	d := device(t, "wg0")
	set(t, d, mine, peers...)
	for _, tt := range []struct {
		to   string
		mark int
		want string
	}{{"172.24.0.10:9", 0, "100.64.0.1"}, {"[fd00:24::10]:9", 0, "fd00::1"}, {"172.24.0.10:9", Mark, "192.0.2.1"}, {"198.51.100.1:9", 0, "192.0.2.1"}} {
		dial := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
			if tt.mark != 0 {
				return Outside("", "", c)
			}
			return nil
		}}
		c, err := dial.Dial("udp", tt.to)
		if err != nil {
			t.Errorf("%s: %v", tt.to, err)
			continue
		}
		if a := c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().String(); a != tt.want {
			t.Errorf("%s with mark %x goes from %s, want %s", tt.to, tt.mark, a, tt.want)
		}
		c.Write([]byte("hello"))
		c.Close()
	}
	bufs, sizes := [][]byte{make([]byte, 2000)}, make([]int, 1)
	for _, want := range []string{"172.24.0.10", "fd00:24::10"} {
		if _, err := d.Device().Read(bufs, sizes, 16); err != nil {
			t.Fatal(err)
		}
		got, _ := netip.AddrFromSlice(bufs[0][16+16 : 16+20])
		if bufs[0][16]>>4 == 6 {
			got, _ = netip.AddrFromSlice(bufs[0][16+24 : 16+40])
		}
		if got.String() != want {
			t.Errorf("read a packet to %v, want %s", got, want)
		}
	}
}

func TestWithoutIPv6(t *testing.T) {
	isolated(t)
	const off = "/proc/sys/net/ipv6/conf/default/disable_ipv6"
	if err := os.WriteFile(off, []byte("1"), 0); err != nil {
		t.Skipf("IPv6 cannot be switched off here: %v", err)
	}
	t.Cleanup(func() { os.WriteFile(off, []byte("0"), 0) })
	d := device(t, "wg0")
	skipped := set(t, d, mine, peers...)
	if len(skipped) != 1 || skipped[0].Prefix.String() != "fd00:24::/64" || d.HasIPv6() {
		t.Errorf("skipped %v, IPv6 %v", skipped, d.HasIPv6())
	}
	if got, _ := routed(t, d); !slices.Equal(got, []string{"100.64.0.1/32", "100.64.0.2/32", "172.24.0.0/24"}) {
		t.Errorf("routes %v", got)
	}
}

func TestMissingPrivilegesAreNamed(t *testing.T) {
	for err, want := range map[error]string{
		unix.EPERM: "CAP_NET_ADMIN", unix.ENOENT: devicePath, unix.EACCES: devicePath, unix.EIO: "input/output",
	} {
		if got := lacks(err); !strings.Contains(got.Error(), want) {
			t.Errorf("%v: %v", err, got)
		}
	}
}

// TestRoutesHaveTheirMTU changes what the paths to peers carry.
func TestRoutesHaveTheirMTU(t *testing.T) {
	isolated(t)
	d := device(t, "wg0")
	if err := d.SetMTU(map[netip.Prefix]int{netip.MustParsePrefix("172.24.0.0/24"): 1340}); err != nil {
		t.Fatal(err)
	}
	set(t, d, mine, peers...)
	want := func(mtu map[string]int) {
		t.Helper()
		mustRoute(t, d, all...)
		for _, family := range families {
			have, err := netlink.RouteListFiltered(family, &netlink.Route{Table: d.Table()}, netlink.RT_FILTER_TABLE)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range have {
				if r.MTU != mtu[r.Dst.String()] {
					t.Errorf("the route to %v has MTU %d, want %d", r.Dst, r.MTU, mtu[r.Dst.String()])
				}
			}
		}
	}
	want(map[string]int{"172.24.0.0/24": 1340})
	sizes := map[netip.Prefix]int{}
	for _, p := range prefixes(peers...) {
		sizes[p] = 1140
	}
	if err := d.SetMTU(sizes); err != nil {
		t.Fatal(err)
	}
	want(map[string]int{"172.24.0.0/24": 1140, "100.64.0.2/32": 1140, "fd00::2/128": 1280, "fd00:24::/64": 1280})
	if err := d.SetMTU(nil); err != nil {
		t.Fatal(err)
	}
	want(nil)
}
