package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"nexd/internal/eventually"
)

// TestAnIPv6NetworkThatItsRouterAdvertises has a router advertise the IPv6 network that it stands in,
// and another member advertise that of a client. There is no relay.
func TestAnIPv6NetworkThatItsRouterAdvertises(t *testing.T) {
	t.Parallel() // mostly it waits
	for _, mode := range []string{"rootless", "TUN"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			w := &world{lab: newLab(t, "curl"), serveArgs: []string{"--relay=off"}}
			w.host("svc", "2001:db8::1/64")
			w.host("w", "2001:db8::2/64")
			w.in("w", "sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/all/forwarding")
			w.in("svc", "ip", "route", "add", "fd00::/16", "via", "2001:db8::2")
			for i, name := range []string{"a", "r", "m"} {
				w.container(name, "w", fmt.Sprintf("fd00:%d::1/64", i+1), fmt.Sprintf("fd00:%d::2/64", i+1))
			}
			w.bootstrapAt("[2001:db8::1]:8443")
			w.serve()
			join, router := w.join, w.router
			if mode == "TUN" {
				join, router = w.joinTUN, w.routerTUN
			}
			r := router("r", "fd00:2::/64")
			router("m", "fd00:1::/64")
			a := join("a")
			for _, pair := range []struct {
				from *node
				to   string
			}{{a, "r"}, {a, "m"}, {r, "m"}} {
				if out, code := pair.from.cli(40*time.Second, "ping", "--until-direct", pair.to); code != 0 {
					t.Errorf("%s to %s: exit %d\n%s", pair.from.ns, pair.to, code, out)
				}
			}
			if _, at := a.pathTo("r"); !strings.HasPrefix(at, "[fd00:2::2]:") {
				t.Errorf("r is at %s", at)
			}
		})
	}
}

// TestALANThatOneOfItsNodesAdvertises has a node advertise the LAN that it shares with another one,
// and cuts the uplink. It also runs the LAN with static maps, which have no relay at all.
func TestALANThatOneOfItsNodesAdvertises(t *testing.T) {
	t.Parallel() // mostly it waits
	w := &world{lab: newLab(t, "curl"), serveArgs: []string{"--relay=off"}}
	w.host("svc", "10.1.0.9/24")
	w.host("desk", "10.1.0.10/24")
	w.host("shelf", "10.1.0.11/24")
	w.bootstrapAt("10.1.0.9:8443")
	w.serve()
	w.router("shelf", "10.1.0.0/24")
	desk := w.join("desk")
	desk.untilMapKept("shelf")
	w.in("svc", "ip", "link", "set", "eth0", "down")
	if out, code := desk.cli(30*time.Second, "ping", "--until-direct", "shelf"); code != 0 {
		t.Errorf("without uplink: exit %d\n%s", code, out)
	}
	desk.restart()
	if out, code := desk.cli(30*time.Second, "ping", "--until-direct", "shelf"); code != 0 {
		t.Errorf("after a restart: exit %d\n%s", code, out)
	}
	desk.stop(syscall.SIGTERM)

	w.host("nas", "10.1.0.12/24")
	key := map[string]string{}
	for _, n := range []string{"nas", "desk"} {
		key[n] = strings.TrimSpace(w.must(n, 5*time.Second, bin("nexd"), "key", "--state-dir="+w.ownDir("map-"+n)))
	}
	start := func(ns, m string, args ...string) *node {
		path := filepath.Join(w.dir, ns+".json")
		if err := os.WriteFile(path, []byte(m), 0o644); err != nil {
			t.Fatal(err)
		}
		n := &node{w: w, ns: ns, state: w.ownDir("map-" + ns)}
		n.args = append(append([]string{bin("nexd")}, args...), "--userspace", "--map="+path, "--state-dir="+n.state)
		n.launch()
		return n
	}
	entry := func(name, args string) string { return fmt.Sprintf(`{"name":%q,"key":%q,%s}`, name, key[name], args) }
	nas, me := entry("nas", `"addresses":["100.64.0.1"]`), entry("desk", `"addresses":["100.64.0.2"]`)
	start("nas", `{"self":`+nas+`,"peers":[`+me+`]}`, "router", "--advertise-cidr=10.1.0.0/24", "--listen-port=51820", "--proxy-listen=off")
	static := start("desk", `{"self":`+me+`,"peers":[`+entry("nas", `"addresses":["100.64.0.1"],"prefixes":["10.1.0.0/24"],"endpoints":["10.1.0.12:51820"]`)+`]}`, "join")
	if out, code := static.cli(30*time.Second, "ping", "--until-direct", "nas"); code != 0 {
		t.Errorf("with a static map: exit %d\n%s", code, out)
	}
}

// TestAnExcludedTunnelThatComesLater excludes a point-to-point interface that does not exist yet and
// whose network only a route names. Nothing uses it, even when nothing but the relay is left.
func TestAnExcludedTunnelThatComesLater(t *testing.T) {
	t.Parallel() // mostly it waits
	w := worldOfNetworks(t, map[string]string{
		"svc": "198.51.100.2/24 198.51.100.1", "a": "203.0.113.2/24 203.0.113.1", "b": "203.0.114.2/24 203.0.114.1",
	})
	w.serveAll("198.51.100.2:8443")
	w.stop(aToB)
	a := w.join("a", "--exclude-interface=vpn0")
	b := w.join("b")
	if log := a.proc.log(); !strings.Contains(log, "no interface has the excluded name now") {
		t.Errorf("the log does not say that vpn0 is missing:\n%s", log)
	}
	w.link("a", "vpn0", "b", "vpn0", []string{"10.8.0.2/32"}, []string{"10.8.0.3/32"})
	w.in("a", "ip", "route", "add", "10.8.0.0/24", "dev", "vpn0")
	w.in("b", "ip", "route", "add", "10.8.0.0/24", "dev", "vpn0")
	w.mustPing("a", "10.8.0.3")
	eventually.Within(t, 20*time.Second, "a knows of b's address in the tunnel, and why it is not used", func() bool {
		a.cli(10*time.Second, "ping", "-c", "1", "b")
		out, _ := a.cli(5*time.Second, "status", "--candidates")
		return strings.Contains(out, "this host would send from an excluded address")
	})
	for _, pair := range []struct {
		from *node
		to   string
	}{{a, "b"}, {b, "a"}} {
		if out, code := pair.from.cli(20*time.Second, "ping", "-c", "5", pair.to); code != 0 || strings.Contains(out, "10.8.0.") {
			t.Errorf("%s to %s: exit %d\n%s", pair.from.ns, pair.to, code, out)
		}
	}
}

// TestStrictReversePathFilteringIsSaid has a host in TUN mode with rp_filter=1, which drops the packets
// of a router in the network that it advertises. The router is reached by the relay, and the status says why.
func TestStrictReversePathFilteringIsSaid(t *testing.T) {
	t.Parallel() // mostly it waits
	w := worldOfNetworks(t, map[string]string{
		"svc": "198.51.100.2/24 198.51.100.1", "r": "10.1.0.2/16 10.1.0.1", "a": "10.2.0.2/24 10.2.0.1",
	})
	w.serveAll("198.51.100.2:8443")
	w.in("a", "sh", "-c", "echo 1 > /proc/sys/net/ipv4/conf/eth0/rp_filter")
	w.router("r", "10.1.0.0/16")
	a := w.joinTUN("a")
	said := func() bool {
		a.cli(10*time.Second, "ping", "-c", "1", "r")
		out, _ := a.cli(5*time.Second, "status")
		return strings.Contains(out, "set net.ipv4.conf.eth0.rp_filter=2")
	}
	eventually.Within(t, 10*time.Second, "the status names the switch", said)
	w.in("a", "sh", "-c", "echo 2 > /proc/sys/net/ipv4/conf/eth0/rp_filter")
	if out, code := a.cli(40*time.Second, "ping", "--until-direct", "r"); code != 0 {
		t.Errorf("with the switch: exit %d\n%s", code, out)
	}
	if said() {
		t.Error("the status still names the switch")
	}
}
