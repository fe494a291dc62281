package e2e

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"nexd/agent/localapi"
	"nexd/internal/eventually"
)

// worldOfNetworks is a world whose hosts stand in networks of their own around one router, the namespace wan.
func worldOfNetworks(t *testing.T, hosts map[string]string) *world {
	t.Helper()
	w := &world{lab: newLab(t, "curl", "nft")}
	w.in("wan", "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
	for name, at := range hosts { // HOST/LENGTH GATEWAY
		addr, gateway, _ := strings.Cut(at, " ")
		_, length, _ := strings.Cut(addr, "/")
		w.netns(name)
		w.link(name, "eth0", "wan", "to-"+name, []string{addr}, []string{gateway + "/" + length})
		w.in(name, "ip", "route", "add", "default", "via", gateway)
	}
	return w
}

// aToB matches what goes from a to b, where a is 203.0.113.2 and b 203.0.114.2.
const aToB = "ip saddr 203.0.113.2 ip daddr 203.0.114.2"

// stop drops what matches any of the rules of nftables on the way through the router of worldOfNetworks,
// until the returned func is called.
func (w *world) stop(matches ...string) (heal func()) {
	w.t.Helper()
	rules := "add table ip cut; add chain ip cut f { type filter hook forward priority 0; }"
	for _, m := range matches {
		rules += "; add rule ip cut f " + m + " drop"
	}
	w.in("wan", "nft", rules)
	return func() {
		w.t.Helper()
		w.in("wan", "nft", "delete table ip cut")
	}
}

// secondVPN gives two hosts private addresses of another VPN, with a round trip of 150 ms.
func (w *world) secondVPN(a, b string) {
	w.t.Helper()
	link := filepath.Join(w.dir, "link")
	if out, err := exec.Command("go", "build", "-o", link, "nexd/bench/link").CombinedOutput(); err != nil {
		w.t.Fatalf("bench/link: %v\n%s", err, out)
	}
	vpn := w.lab.launch(w.prepareAs("", "link", nil, []string{link, "-a=" + w.prefix + a, "-b=" + w.prefix + b, "-dev=vpn0", "-delay=75ms", "-rate=20"}))
	vpn.line("", 10*time.Second)
	for ns, addr := range map[string]string{a: "10.8.0.2/24", b: "10.8.0.3/24"} {
		w.in(ns, "ip", "addr", "add", addr, "dev", "vpn0")
		w.in(ns, "ip", "link", "set", "vpn0", "up")
	}
}

// TestPrefixesOverTheUnderlay advertises the networks that nodes stand in: a router its own, and a
// member that of others. No node loses its direct paths, in either mode, with or without the service.
func TestPrefixesOverTheUnderlay(t *testing.T) {
	t.Parallel() // mostly it waits
	for _, mode := range []string{"rootless", "TUN"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			w := worldOfNetworks(t, map[string]string{
				"svc": "198.51.100.2/24 198.51.100.1", "r": "10.1.0.2/16 10.1.0.1", "a": "10.2.0.2/24 10.2.0.1", "b": "10.3.0.2/24 10.3.0.1", "m": "10.4.0.2/24 10.4.0.1",
			})
			w.serveAll("198.51.100.2:8443")
			router, join := w.router, w.join
			if mode == "TUN" {
				router, join = w.routerTUN, w.joinTUN
			}
			r := router("r", "10.1.0.0/16")
			a := join("a")
			b := join("b")
			direct := func(from *node, to, addr string) {
				t.Helper()
				if out, code := from.cli(15*time.Second, "ping", "--until-direct", to); code != 0 {
					t.Errorf("%s to %s: exit code %d\n%s\n%s", from.ns, to, code, out, from.proc.log())
					return
				}
				if _, at := from.pathTo(to); !strings.HasPrefix(at, addr) {
					t.Errorf("%s reaches %s at %q, want %s", from.ns, to, at, addr)
				}
			}
			direct(a, "r", "10.1.0.2:")
			direct(r, "b", "10.3.0.2:")
			direct(a, "b", "10.3.0.2:")
			router("m", "10.2.0.0/15") // where a and b stand
			for _, n := range []*node{a, b} {
				eventually.Within(t, 10*time.Second, "the nodes know the prefix", func() bool {
					return slices.ContainsFunc(n.look().Peers, func(p localapi.Peer) bool { return p.Name == "m" && len(p.Prefixes) == 1 })
				})
				n.restart()
			}
			direct(a, "b", "10.3.0.2:")
			direct(b, "r", "10.1.0.2:")
		})
	}
}

// TestNoPathThroughAnotherTunnel lets a container, with a node of its own, stand behind a TUN router:
// the address of a neighbour's container would answer through the mesh, as a tunnel in a tunnel.
func TestNoPathThroughAnotherTunnel(t *testing.T) {
	t.Parallel() // mostly it waits
	w := worldOfNetworks(t, map[string]string{
		"svc": "198.51.100.2/24 198.51.100.1", "h1": "192.0.2.10/24 192.0.2.1", "h2": "203.0.113.10/24 203.0.113.1",
	})
	w.serveAll("198.51.100.2:8443")
	for i, host := range []string{"h1", "h2"} {
		net := []string{"172.24.0", "172.28.0"}[i]
		w.container("c"+host, host, net+".1/24", net+".10/24")
		w.in(host, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
		w.masquerade(host)
	}
	w.routerTUN("h1", "172.24.0.0/24")
	w.routerTUN("h2", "172.28.0.0/24")
	w.mustPing("ch1", "172.28.0.10") // containers do reach each other through the mesh
	c1 := w.join("ch1")
	w.join("ch2")
	out, _ := c1.cli(20*time.Second, "ping", "--until-direct", "ch2")
	if way, at := c1.pathTo("ch2"); strings.HasPrefix(at, "172.28.0.") {
		t.Errorf("the path is %s %s, which leads through the tunnel of h1\n%s", way, at, out)
	}
	if out, code := c1.cli(10*time.Second, "ping", "ch2"); code != 0 {
		t.Errorf("no path at all: %s", out)
	}
}

// TestAnExcludedNetworkCarriesNothing joins two hosts by a second network, which one of them excludes
// by the name of its interface. Neither address of it is used, even when nothing else is left but the relay.
func TestAnExcludedNetworkCarriesNothing(t *testing.T) {
	t.Parallel() // mostly it waits
	w := worldOfNetworks(t, map[string]string{
		"svc": "198.51.100.2/24 198.51.100.1", "a": "203.0.113.2/24 203.0.113.1", "b": "203.0.114.2/24 203.0.114.1",
	})
	w.link("a", "vpn0", "b", "vpn0", []string{"10.8.0.2/24"}, []string{"10.8.0.3/24"})
	w.serveAll("198.51.100.2:8443")
	a := w.join("a", "--exclude-interface=vpn0")
	b := w.join("b")
	if out, code := a.cli(15*time.Second, "ping", "--until-direct", "b"); code != 0 {
		t.Fatalf("exit code %d: %s", code, out)
	}
	for from, to := range map[*node]string{a: "b", b: "a"} {
		if _, at := from.pathTo(to); !strings.HasPrefix(at, "203.0.") {
			t.Errorf("%s reaches %s at %s", from.ns, to, at)
		}
	}
	out, _ := a.cli(5*time.Second, "status", "--candidates")
	for _, want := range []string{"excluded: interface vpn0", "excluded: network 10.8.0.0/24"} {
		if !strings.Contains(out, want) {
			t.Errorf("status --candidates has no %q:\n%s", want, out)
		}
	}
	if out, code := a.cli(5*time.Second, "status", "--check"); code != 0 {
		t.Errorf("status --check: exit code %d: %s", code, out)
	}
	w.stop(aToB)
	a.untilPathTo("b", "relay", 20*time.Second)
	if out, code := a.cli(10*time.Second, "ping", "b"); code != 0 {
		t.Errorf("by the relay: exit code %d: %s", code, out)
	}
}
