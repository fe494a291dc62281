package gateway

import (
	"net/netip"
	"testing"

	"nexd/mesh"
)

// kernel is a host: eth0 in a LAN with a router of its own, docker0, a bridge with
// eth1 as a port, eth2 to a network whose gateway is this host, lo, and the tunnel.
func kernel() *host {
	p := netip.MustParsePrefix
	return &host{
		links: []link{
			{index: 1, name: "lo", loopback: true}, {index: 2, name: "eth0"}, {index: 3, name: "docker0", kind: "bridge"}, {index: 4, name: "br0", kind: "bridge"},
			{index: 5, name: "eth1", master: 4}, {index: 6, name: "eth2"}, {index: 7, name: "wg0", kind: "tun"}, {index: 8, name: "veth1", kind: "veth", master: 3},
		},
		addrs: []addr{
			{1, p("127.0.0.1/8")}, {1, p("172.26.0.10/32")}, {2, p("192.168.1.5/24")}, {3, p("172.17.0.1/16")}, {3, p("fd17::1/64")}, {4, p("192.168.2.5/24")},
			{6, p("192.168.3.1/24")}, {7, p("100.64.0.1/32")},
		},
		routes: []route{
			{2, p("0.0.0.0/0"), true}, {2, p("192.168.1.0/24"), false}, {3, p("172.17.0.0/16"), false}, {3, p("fd17::/64"), false}, {4, p("192.168.2.0/24"), false},
			{6, p("192.168.3.0/24"), false}, {2, p("10.9.0.0/16"), true}, {7, p("10.201.0.0/16"), false},
		},
	}
}

func TestPlanChoosesSNAT(t *testing.T) {
	for _, tt := range []struct {
		local string
		snat  Mode
		iface string
		want  bool
	}{
		{"172.17.0.0/16", Auto, "docker0", false},
		{"fd17::/64", Auto, "docker0", false},
		{"172.17.0.128/25", Auto, "docker0", false}, // a part: the bridge's subnet covers it
		{"172.16.0.0/12", Auto, "docker0,lo", false},
		{"172.17.0.0/16", On, "docker0", true},
		{"192.168.1.0/24", Auto, "eth0", true}, // its hosts use the router there
		{"192.168.1.0/24", Off, "eth0", false},
		{"192.168.2.0/24", Auto, "br0", true},           // a bridge with hardware behind it
		{"192.168.3.0/24", Auto, "eth2", false},         // the first address
		{"10.9.1.0/24", Auto, "eth0", true},             // behind another router
		{"198.51.100.0/24", Auto, "eth0", true},         // only the default route leads there
		{"172.26.0.0/24", Auto, "lo", false},            // own addresses only: not the default route
		{"10.201.0.0/16", Auto, "eth0", true},           // the tunnel itself leads nowhere
		{"fd99::/64", Auto, "", false},                  // nothing leads there
		{"192.168.0.0/22", Auto, "eth0,br0,eth2", true}, // in part
	} {
		l := netip.MustParsePrefix(tt.local)
		p := makePlan("wg0", tt.snat, []mesh.Advertisement{{Prefix: l, Local: l}}, kernel())
		s := p.prefixes[0].status()
		if s.Interface != tt.iface || s.SNAT != tt.want || s.Why == "" || (s.Problem != "") != (tt.iface == "") {
			t.Errorf("%s %v: %+v, want %q %v", tt.local, tt.snat, s, tt.iface, tt.want)
		}
	}
}

// A network with two names calls out by its own.
func TestPlanOfTwoNames(t *testing.T) {
	a, b := netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("172.17.0.0/16")
	p := makePlan("wg0", Auto, []mesh.Advertisement{{Prefix: a, Local: b}, {Prefix: b, Local: b}}, kernel())
	if p.prefixes[0].Prefix != b || p.prefixes[1].Prefix != a {
		t.Errorf("order %+v", p.prefixes)
	}
}

func TestConfigIsChecked(t *testing.T) {
	for _, c := range []Config{{}, {Interface: "wg0"}, {Interface: "a/b", StateDir: "x"}, {Interface: "..", StateDir: "x"}, {Interface: "sixteencharacter", StateDir: "x"}, {Interface: "wg0", StateDir: "x", SNAT: 9}} {
		if _, err := c.withDefaults(); mesh.KindOf(err) != mesh.Invalid {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if Mode(9).String() != "unknown" || Off.String() != "off" {
		t.Error("names of modes")
	}
}
