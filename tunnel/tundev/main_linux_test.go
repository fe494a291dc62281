package tundev

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"nexd/internal/nstest"
)

func TestMain(m *testing.M) { nstest.Main(m, victim) }

// isolated skips unless the test is in a namespace where interfaces can be made.
func isolated(t *testing.T) {
	t.Helper()
	nstest.Inside(t)
	if err := Probe(); err != nil {
		t.Skipf("no interface can be made here: %v", err)
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		t.Fatal(err)
	}
}

// network makes a veth pair of which the first end, veth0, has an address.
func network(t *testing.T, name, address string) netlink.Link {
	t.Helper()
	v := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: name + "p"}
	if err := netlink.LinkAdd(v); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { netlink.LinkDel(v) })
	link, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	peer, err := netlink.LinkByName(name + "p")
	if err != nil {
		t.Fatal(err)
	}
	if address != "" {
		a, err := netlink.ParseAddr(address)
		if err != nil {
			t.Fatal(err)
		}
		a.Flags = unix.IFA_F_NODAD
		if err := netlink.AddrAdd(link, a); err != nil {
			t.Fatal(err)
		}
	}
	for _, l := range []netlink.Link{link, peer} {
		if err := netlink.LinkSetUp(l); err != nil {
			t.Fatal(err)
		}
	}
	return link
}

// snapshot is everything the kernel knows of links, addresses, routes and rules.
func snapshot(t *testing.T) string {
	t.Helper()
	var out []string
	links, err := netlink.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		out = append(out, fmt.Sprintf("link %s %d", l.Attrs().Name, l.Attrs().MTU))
		addrs, err := netlink.AddrList(l, netlink.FAMILY_ALL)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range addrs {
			out = append(out, fmt.Sprintf("addr %s %v", l.Attrs().Name, a.IPNet))
		}
	}
	for _, family := range families {
		routes, err := netlink.RouteListFiltered(family, &netlink.Route{}, netlink.RT_FILTER_TABLE)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range routes {
			out = append(out, "route "+r.String())
		}
		rules, err := netlink.RuleList(family)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rules {
			out = append(out, "rule "+r.String())
		}
	}
	sort.Strings(out)
	return strings.Join(out, "\n")
}

// routed are the routes of a device, and whether both rules are there.
func routed(t *testing.T, d *Device) (routes []string, rulesThere bool) {
	t.Helper()
	rulesThere = true
	for _, family := range families {
		have, err := netlink.RouteListFiltered(family, &netlink.Route{Table: d.Table(), Protocol: RouteProtocol}, netlink.RT_FILTER_TABLE|netlink.RT_FILTER_PROTOCOL)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range have {
			routes = append(routes, r.Dst.String())
		}
		rs, err := rules(d.nl, family)
		if err != nil {
			t.Fatal(err)
		}
		rulesThere = rulesThere && slices.ContainsFunc(rs, func(r netlink.Rule) bool { return r.Table == d.Table() })
	}
	sort.Strings(routes)
	return routes, rulesThere
}

// victim makes a device and waits to be killed.
func victim() {
	d, err := New(Config{Name: "victim0"})
	if err == nil {
		_, err = d.Set(addresses("100.64.0.7", "fd00::7"), prefixes("172.24.0.0/24", "fd00:24::/64"))
	}
	fmt.Println("up", err)
}
