package e2e

import (
	"fmt"
	"net/netip"
	"strings"
)

// site is a kind of connection between a node and the internet. Names and expectations are
// those of the grid in memory (tunnel/paths/grid_test.go).
type site struct {
	name, tag string // tag begins the names of the namespaces
	hard      bool   // its mapping depends on the destination
	tight     bool   // it admits only addresses and ports that it has sent to
	make      func(g *natGrid, tag string, n int) place
}

// place is a node's namespace at a site. n numbers the places.
type place struct {
	site
	ns    string
	at    netip.Addr // its public address
	boxes []string   // between it and the internet
}

// The following are tables of nftables. eth0 leads outside, to-* to the inside. All of them
// drop unsolicited packets, because Linux would record them as connections of the box
// itself and not assign their port again.
const (
	ownNothing = "table ip own { chain in { type filter hook input priority 0; ct state new drop; }; }\n"

	// Linux's masquerade is port-restricted, as long as no port is used twice.
	masquerade = "table ip nat { chain post { type nat hook postrouting priority 100; oifname eth0 masquerade; }; }\n"

	// Every connection gets its own port.
	masqueradeRandom = "table ip nat { chain post { type nat hook postrouting priority 100; oifname eth0 masquerade fully-random; }; }\n"

	// All packets from outside go to the only node inside.
	letInAnybody = "table ip cone { chain pre { type nat hook prerouting priority -100; iifname eth0 meta l4proto udp dnat to %s; }; }\n"

	// The same for packets from an address that the node has sent to.
	letInKnown = `table ip cone {
  set known { type ipv4_addr; flags dynamic,timeout; timeout 5m; }
  chain out { type filter hook forward priority 0; oifname eth0 meta l4proto udp update @known { ip daddr }; }
  chain pre { type nat hook prerouting priority -100; iifname eth0 ip saddr @known meta l4proto udp dnat to %s; }
}
`
	// Packets from inside to the outer address come back in, from the outer address. The
	// nodes inside cannot reach each other in any other way.
	hairpin = `table ip hairpin {
  map nodes { type inet_service : ipv4_addr; flags dynamic,timeout; timeout 5m; }
  chain through {
    type filter hook forward priority 0;
    oifname eth0 meta l4proto udp update @nodes { udp sport : ip saddr }
    iifname "to-*" oifname "to-*" ct status dnat accept
    iifname "to-*" oifname "to-*" drop
  }
  chain pre { type nat hook prerouting priority -100; iifname "to-*" ip daddr %[1]s dnat to udp dport map @nodes; }
  chain post { type nat hook postrouting priority 100; iifname "to-*" oifname "to-*" snat to %[1]s; }
}
`
	// No translation; only replies come in.
	repliesOnly = "table ip fw { chain f { type filter hook forward priority 0; ct state established,related accept; iifname eth0 drop; }; }\n"
)

var natSites = []site{
	{"none", "none", false, false, func(g *natGrid, tag string, n int) place {
		return place{ns: tag, at: g.outer(tag, n)}
	}},
	home("full cone", "cone", false, false, masquerade+fmt.Sprintf(letInAnybody, "10.1.0.10")),
	home("restricted", "rest", false, false, masquerade+fmt.Sprintf(letInKnown, "10.1.0.10")),
	home("port-restricted", "port", false, true, masquerade),
	home("symmetric", "symm", true, true, masqueradeRandom),
	{"double", "twice", false, true, func(g *natGrid, tag string, n int) place {
		p := place{ns: tag, boxes: []string{"isp-" + tag, "nat-" + tag}}
		p.at = g.outer(p.boxes[0], n)
		g.container(p.boxes[1], p.boxes[0], "10.8.0.1/24", "10.8.0.2/24")
		g.container(tag, p.boxes[1], "10.1.0.1/24", "10.1.0.10/24")
		g.box(p.boxes[0], ownNothing+masquerade)
		g.box(p.boxes[1], ownNothing+masquerade)
		return p
	}},
	{"hairpin", "hair", false, true, func(g *natGrid, tag string, n int) place {
		if len(g.hairpin.boxes) == 0 { // both are behind one
			g.hairpin = place{at: g.outer("nat-hair", n), boxes: []string{"nat-hair"}}
			g.box("nat-hair", ownNothing+masquerade+fmt.Sprintf(hairpin, g.hairpin.at))
		}
		p := g.hairpin
		p.ns = tag
		g.container(tag, "nat-hair", fmt.Sprintf("10.%d.0.1/24", n), fmt.Sprintf("10.%d.0.10/24", n))
		return p
	}},
	{"firewall", "wall", false, true, func(g *natGrid, tag string, n int) place {
		p := place{ns: tag, boxes: []string{"fw-" + tag}}
		p.at = g.routed(tag, p.boxes[0], n)
		g.box(p.boxes[0], ownNothing+repliesOnly)
		return p
	}},
	{"carrier and firewall", "isp", false, true, func(g *natGrid, tag string, n int) place {
		p := place{ns: tag, boxes: []string{"nat-" + tag, "fw-" + tag}}
		p.at = g.outer(p.boxes[0], n)
		g.container(p.boxes[1], p.boxes[0], "100.64.8.1/24", "100.64.8.2/24") // as the mesh's own addresses
		g.container(tag, p.boxes[1], "100.64.9.1/24", "100.64.9.2/24")
		g.in(p.boxes[0], "ip", "route", "add", "100.64.9.0/24", "via", "100.64.8.2")
		g.box(p.boxes[0], ownNothing+masquerade+fmt.Sprintf(letInKnown, "100.64.9.2"))
		g.box(p.boxes[1], ownNothing+repliesOnly)
		return p
	}},
}

// home is a site with one box of its own.
func home(name, tag string, hard, tight bool, rules string) site {
	return site{name, tag, hard, tight, func(g *natGrid, tag string, n int) place {
		p := place{ns: tag, boxes: []string{"nat-" + tag}}
		p.at = g.outer(p.boxes[0], n)
		g.container(tag, p.boxes[0], "10.1.0.1/24", "10.1.0.10/24")
		g.box(p.boxes[0], ownNothing+rules)
		return p
	}}
}

// meets reports whether a direct path is possible.
func (s site) meets(o site) bool { return !(s.hard && (o.hard || o.tight) || o.hard && s.tight) }

// outer creates a host on the wan whose default route is the wan's router.
func (g *natGrid) outer(name string, n int) netip.Addr {
	at := netip.AddrFrom4([4]byte{192, 0, 2, byte(10 + n)})
	g.host(name, at.String()+"/24")
	g.in(name, "ip", "route", "add", "default", "via", wanRouter)
	return at
}

// routed makes a host with a public address behind a router of its own on the wan,
// which is for the caller to make one by box.
func (g *natGrid) routed(name, router string, n int) netip.Addr {
	at := netip.AddrFrom4([4]byte{198, 51, 100, byte(4*n + 2)})
	gate := g.outer(router, n)
	g.container(name, router, fmt.Sprintf("198.51.100.%d/30", 4*n+1), at.String()+"/30")
	g.in("wan", "ip", "route", "add", fmt.Sprintf("198.51.100.%d/30", 4*n), "via", gate.String())
	return at
}

// box makes a namespace forward packets, with rules if given.
func (g *natGrid) box(name, rules string) {
	g.in(name, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward; echo 0 | tee /proc/sys/net/ipv4/conf/*/send_redirects > /dev/null")
	if rules != "" {
		g.in(name, "nft", strings.TrimSpace(rules))
	}
}
