package tundev

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"nexd/mesh"
)

func prefixes(ss ...string) (out []netip.Prefix) {
	for _, s := range ss {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func addresses(ss ...string) (out []netip.Addr) {
	for _, s := range ss {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

func TestPlanKeepsWhatTheHostHas(t *testing.T) {
	p := netip.MustParsePrefix
	host := []held{
		{prefix: p("0.0.0.0/0"), link: "eth0", gateway: netip.MustParseAddr("192.0.2.1")},
		{prefix: p("0.0.0.0/1"), link: "vpn0"}, {prefix: p("128.0.0.0/1"), link: "vpn0"}, {prefix: p("::/0"), link: "eth0"},
		{prefix: p("172.24.0.0/24"), link: "br0", kernel: true},
		{prefix: p("10.0.0.0/8"), link: "eth0", gateway: netip.MustParseAddr("192.0.2.1")},
		{prefix: p("172.30.5.0/24"), link: "wg1", nexd: true},
		{prefix: p("100.64.0.9/32"), link: "wg1", address: true},
		{prefix: p("172.28.0.10/32"), link: "lo", address: true},
		{prefix: p("fd00:24::/64"), link: "br0", kernel: true},
	}
	routes, skipped := plan(prefixes("172.24.0.0/16", "172.24.0.128/25", "10.1.0.0/16", "172.30.0.0/16", "100.64.0.9/32", "100.64.0.2/32",
		"172.28.0.0/24", "172.28.0.0/24", "fd00:24::/48", "fd00:28::/64"), host)
	if want := prefixes("100.64.0.2/32", "172.28.0.0/24", "fd00:28::/64"); !slices.Equal(routes, want) {
		t.Errorf("routes %v\nwant   %v", routes, want)
	}
	why := map[string]string{
		"172.24.0.0/16": "own network 172.24.0.0/24 on br0", "172.24.0.128/25": "own network 172.24.0.0/24 on br0",
		"10.1.0.0/16": "route 10.0.0.0/8 via 192.0.2.1 on eth0", "172.30.0.0/16": "another nexd routes to wg1",
		"100.64.0.9/32": "has that address itself, on wg1", "fd00:24::/48": "own network fd00:24::/64 on br0",
	}
	for _, s := range skipped {
		if want := why[s.Prefix.String()]; want == "" || !strings.Contains(s.Why, want) {
			t.Errorf("%v skipped: %q, want %q in it", s.Prefix, s.Why, want)
		}
		delete(why, s.Prefix.String())
	}
	if len(why) > 0 {
		t.Errorf("not skipped: %v", why)
	}
}

func TestCheckName(t *testing.T) {
	for name, ok := range map[string]bool{
		"wg0": true, "nexd-very-long0": true, "": false, "..": false, "wg%d": false, "a/b": false, "a:b": false, "a b": false, "sixteen-letters0": false,
	} {
		if err := CheckName(name); (err == nil) != ok || err != nil && mesh.KindOf(err) != mesh.Invalid {
			t.Errorf("CheckName(%q) = %v", name, err)
		}
	}
}
