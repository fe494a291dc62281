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

// joinTUN starts nexd in TUN mode in a namespace, as root there, and waits until
// it is ready.
func (w *world) joinTUN(ns string, args ...string) *node {
	w.t.Helper()
	n := &node{w: w, ns: ns, root: true, state: filepath.Join(w.dir, "tun-"+ns)}
	if err := os.MkdirAll(n.state, 0o700); err != nil {
		w.t.Fatal(err)
	}
	n.args = append(append([]string{bin("nexd")}, args...), "--tun", "--hostname="+ns, "--reg-key-file="+w.key, "--state-dir="+n.state, w.url)
	n.launch()
	return n
}

func (w *world) routerTUN(ns string, cidrs ...string) *node {
	w.t.Helper()
	args := []string{"router", "--proxy-listen=off"}
	for _, c := range cidrs {
		args = append(args, "--advertise-cidr="+c)
	}
	return w.joinTUN(ns, args...)
}

// mustPing pings an address from a namespace with the system's ping.
func (l *lab) mustPing(ns string, addrs ...string) {
	l.t.Helper()
	for _, a := range addrs {
		out, code := l.tryAs(ns, 20*time.Second, []string{"ping", "-n", "-c", "3", "-i", "0.2", "-W", "3", a})
		if code != 0 {
			l.t.Errorf("ping %s from %s: exit %d\n%s", a, ns, code, out)
		}
	}
}

// fetch fetches the page of a container through ordinary routing.
func (l *lab) fetch(ns, url string) string {
	l.t.Helper()
	out, code := l.tryAs(ns, 15*time.Second, []string{"curl", "-sS", "--noproxy", "*", "--max-time", "10", url})
	if code != 0 || !strings.Contains(out, marker) {
		l.t.Errorf("fetch %s from %s: exit %d\n%s", url, ns, code, out)
	}
	return out
}

// bridge creates a bridge on a host with gateway addresses, like a container engine.
func (l *lab) bridge(host, name string, addrs ...string) {
	l.t.Helper()
	l.in(host, "ip", "link", "add", name, "type", "bridge")
	for _, a := range addrs {
		l.in(host, "ip", "addr", "add", a, "dev", name)
	}
	l.in(host, "sh", "-c", "echo 0 > /proc/sys/net/ipv6/conf/"+name+"/accept_dad")
	l.in(host, "ip", "link", "set", name, "up")
}

// bridged creates a container on a bridge, with its own addresses and a default route
// through the bridge.
func (l *lab) bridged(name, host, bridge string, addrs, gateways []string) {
	l.t.Helper()
	l.netns(name)
	l.link(name, "eth0", host, "to-"+name, addrs, nil)
	l.in(host, "ip", "link", "set", "to-"+name, "master", bridge)
	for _, g := range gateways {
		l.in(name, "ip", "route", "add", "default", "via", g)
	}
}

// newTUNWorld creates a service, two hosts with a bridge and a container each, a laptop
// behind a firewall, and a guest without privileges.
func newTUNWorld(t *testing.T) *world {
	t.Helper()
	w := &world{lab: newLab(t, "curl", "ping", "nft")}
	for i, name := range []string{"svc", "node1", "node2", "laptop", "guest"} {
		w.host(name, fmt.Sprintf("192.0.2.%d/24", 1+10*i), fmt.Sprintf("2001:db8::%d/64", 1+10*i))
	}
	for i, net := range []string{"24", "28"} {
		host, c := fmt.Sprintf("node%d", i+1), fmt.Sprintf("c%d", i+1)
		w.bridge(host, "cbr0", "172."+net+".0.1/24", "fd00:"+net+"::1/64")
		w.bridged(c, host, "cbr0", []string{"172." + net + ".0.10/24", "fd00:" + net + "::10/64"}, []string{"172." + net + ".0.1", "fd00:" + net + "::1"})
		w.serveContainer(c)
	}
	w.in("laptop", "nft", "add table inet fw; add chain inet fw in { type filter hook input priority 0; policy drop; }; "+
		"add rule inet fw in iif lo accept; add rule inet fw in ct state established,related accept; add rule inet fw in meta l4proto ipv6-icmp accept")
	w.bootstrapAt("192.0.2.1:8443")
	w.serve()
	return w
}

// hasRoute reports whether a host routes an address to the mesh.
func (l *lab) hasRoute(ns, addr string) bool {
	out, _ := l.tryAs(ns, 5*time.Second, []string{"ip", "route", "get", addr})
	return strings.Contains(out, "dev wg0")
}

// TestTUNWalkthrough follows the walkthrough on two hosts in TUN mode.
func TestTUNWalkthrough(t *testing.T) {
	w := newTUNWorld(t)
	w.routerTUN("node1", "172.24.0.0/24", "fd00:24::/64")
	node2 := w.routerTUN("node2", "172.28.0.0/24", "fd00:28::/64")
	laptop := w.joinTUN("laptop")
	guest := w.join("guest")

	t.Run("containers reach containers", func(t *testing.T) {
		w.mustPing("c1", "172.28.0.10", "fd00:28::10")
		w.mustPing("c2", "172.24.0.10", "fd00:24::10")
		for _, tt := range []struct{ from, url, want string }{
			{"c1", "http://172.28.0.10/", "c2 from 172.24.0.10:"}, {"c2", "http://172.24.0.10/", "c1 from 172.28.0.10:"},
			{"c1", "http://[fd00:28::10]/", "c2 from [fd00:24::10]:"}, {"c2", "http://[fd00:24::10]/", "c1 from [fd00:28::10]:"},
		} {
			if out := w.fetch(tt.from, tt.url); !strings.Contains(out, tt.want) {
				t.Errorf("%s from %s says %q, want %q in it", tt.url, tt.from, out, tt.want)
			}
		}
	})
	t.Run("a spoke that lets nothing in reaches both", func(t *testing.T) {
		w.mustPing("laptop", "172.24.0.10", "172.28.0.10", "fd00:24::10", "fd00:28::10")
		if out := w.fetch("laptop", "http://172.24.0.10/"); !strings.Contains(out, "from "+laptop.name4+":") {
			t.Errorf("the container sees %q, want %s", out, laptop.name4)
		}
		w.mustPing("node1", "172.28.0.10", "fd00:28::10", node2.name4, node2.name6) // routers are nodes themselves
	})
	t.Run("a rootless node uses its proxy", func(t *testing.T) {
		for _, url := range []string{"http://172.24.0.10/", "http://172.28.0.10/", "http://[fd00:24::10]/"} {
			guest.mustFetch(url)
		}
	})
	t.Run("a large transfer", func(t *testing.T) {
		const n = 20 << 20
		out, code := w.tryAs("c1", time.Minute, []string{"sh", "-c", fmt.Sprintf("curl -sS --max-time 50 'http://172.28.0.10/bytes?n=%d' | sha256sum", n)})
		if code != 0 || !strings.HasPrefix(out, patternSum(n)) {
			t.Errorf("exit %d: %s", code, out)
		}
	})
	t.Run("an address on the loopback answers", func(t *testing.T) {
		w.in("node1", "ip", "addr", "add", "172.24.0.200/32", "dev", "lo")
		w.serveContainer("node1")
		w.mustPing("laptop", "172.24.0.200")
		w.mustPing("c2", "172.24.0.200")
		w.fetch("laptop", "http://172.24.0.200/")
		guest.mustFetch("http://172.24.0.200/")
		if out, code := guest.cli(15*time.Second, "ping", "-c1", "172.24.0.200"); code != 0 {
			t.Errorf("nexd ping: exit %d\n%s", code, out)
		}
	})
	t.Run("a released prefix's route goes", func(t *testing.T) {
		w.mustService("prefix", "release", "fd00:28::/64", "--org=default")
		for _, ns := range []string{"laptop", "node1"} {
			eventually.Within(t, 5*time.Second, "no route to fd00:28::/64 on "+ns, func() bool { return !w.hasRoute(ns, "fd00:28::10") && w.hasRoute(ns, "172.28.0.10") })
		}
	})
	t.Run("a removed node's routes go", func(t *testing.T) {
		for _, ns := range []string{"laptop", "node1"} {
			if !w.hasRoute(ns, "172.28.0.10") || !w.hasRoute(ns, node2.name4) {
				t.Fatalf("%s has no route to begin with", ns)
			}
		}
		w.mustService("node", "remove", "node2", "--org=default")
		for _, ns := range []string{"laptop", "node1"} {
			eventually.Within(t, 5*time.Second, "no route to node2 on "+ns, func() bool { return !w.hasRoute(ns, "172.28.0.10") && !w.hasRoute(ns, node2.name4) })
		}
		w.fetch("laptop", "http://172.24.0.10/")
	})
}

// TestWhatAHostHasStays has a prefix that overlaps a network of the spoke.
func TestWhatAHostHasStays(t *testing.T) {
	w := newTUNWorld(t)
	w.routerTUN("node1", "172.24.0.0/24")
	w.routerTUN("node2", "172.28.0.0/24")
	w.bridge("laptop", "own0", "172.24.0.1/16")
	before := w.in("laptop", "ip", "route", "get", "172.24.0.10")
	laptop := w.joinTUN("laptop")
	if after := w.in("laptop", "ip", "route", "get", "172.24.0.10"); after != before {
		t.Errorf("the route was %s and is %s", before, after)
	}
	w.fetch("laptop", "http://172.28.0.10/")
	s := laptop.status()
	if len(s.Skipped) != 1 || s.Skipped[0].Prefix.String() != "172.24.0.0/24" || !strings.Contains(s.Skipped[0].Why, "172.24.0.0/16 on own0") {
		t.Errorf("skipped %+v", s.Skipped)
	}
	if n := strings.Count(laptop.log(), "prefix is not routed"); n != 1 {
		t.Errorf("said %d times", n)
	}
	if out, _ := laptop.cli(5*time.Second, "status"); !strings.Contains(out, "! this host does not route 172.24.0.0/24 into the mesh") {
		t.Errorf("status:\n%s", out)
	}
	if out, code := laptop.curl(5*time.Second, "-x", laptop.socks5h(), "http://172.24.0.10/"); code == 0 {
		t.Errorf("the proxy reached another 172.24.0.10: %s", out)
	}
	w.in("laptop", "ip", "link", "del", "own0")
	eventually.Within(t, 5*time.Second, "the prefix is routed when the network is gone", func() bool { return w.hasRoute("laptop", "172.24.0.10") })
	w.fetch("laptop", "http://172.24.0.10/")
}

// hostState is the state of a host that a node must restore.
func (l *lab) hostState(ns string) string {
	l.t.Helper()
	out := l.in(ns, "sh", "-c", `
iptables-save; ip6tables-save
ip addr | sed 's/valid_lft.*//'; ip rule; ip -6 rule
ip route show table all | sort; ip -6 route show table all | sed 's/ expires [0-9]*sec//' | sort
nft list ruleset
grep -r . /proc/sys/net/ipv4/conf /proc/sys/net/ipv6/conf /proc/sys/net/ipv4/ip_forward 2>/dev/null | grep -v stable_secret | sort`)
	var keep []string
	for line := range strings.Lines(out) {
		if !strings.HasPrefix(line, "# ") { // times of iptables-save
			keep = append(keep, line)
		}
	}
	return strings.Join(keep, "")
}

// TestTUNLeavesNothing compares the host before and after a router in TUN mode.
func TestTUNLeavesNothing(t *testing.T) {
	w := newTUNWorld(t)
	w.hostState("node1") // iptables-save makes its tables
	eventually.Within(t, 10*time.Second, "duplicate address detection is over", func() bool { return !strings.Contains(w.in("node1", "ip", "addr"), "tentative") })
	before := w.hostState("node1")
	equal := func(what string) {
		t.Helper()
		if after := w.hostState("node1"); after != before {
			t.Errorf("%s: the host is not as it was\n%s", what, diff(before, after))
		}
	}
	w.routerTUN("node2", "172.28.0.0/24")
	node1 := w.routerTUN("node1", "172.24.0.0/24", "fd00:24::/64", "10.201.0.0/24=172.24.0.0/24")
	w.mustPing("c1", "172.28.0.10")
	if w.hostState("node1") == before {
		t.Fatal("nothing was made: this test tests nothing")
	}
	node1.stop(syscall.SIGTERM)
	equal("after SIGTERM")
	node1.launch()
	node1.stop(syscall.SIGKILL)
	node1.launch()
	w.mustPing("c1", "172.28.0.10")
	node1.stop(syscall.SIGTERM)
	equal("after SIGKILL, a start and a stop")
	node1.launch()
	node1.stop(syscall.SIGKILL)
	if out, code := node1.cli(10*time.Second, "clean"); code != 0 || !strings.Contains(out, "removed") {
		t.Errorf("nexd clean: exit %d\n%s", code, out)
	}
	equal("after SIGKILL and nexd clean")
	if out, code := node1.cli(10*time.Second, "clean"); code != 0 || !strings.Contains(out, "nothing was left") {
		t.Errorf("nexd clean again: exit %d\n%s", code, out)
	}
	plain := node1.args
	node1.args = append(append([]string{}, plain[:len(plain)-1]...), "--interface=mesh0", plain[len(plain)-1])
	for _, next := range []string{"nexd clean", "a start and a stop"} { // which know the usual name only
		node1.launch()
		w.mustPing("c1", "172.28.0.10")
		node1.stop(syscall.SIGKILL)
		if next == "nexd clean" {
			node1.cli(10*time.Second, "clean")
		} else {
			node1.args = plain
			node1.launch()
			node1.stop(syscall.SIGTERM)
		}
		equal("after SIGKILL with another interface, and " + next)
	}
	node1.launch()
	if out, code := node1.cli(10*time.Second, "clean"); code == 0 {
		t.Errorf("nexd clean beside a running node: %s", out)
	}
}

// diff returns the lines that only one of two texts has.
func diff(before, after string) string {
	var out strings.Builder
	for _, side := range []struct{ sign, a, b string }{{"-", before, after}, {"+", after, before}} {
		have := map[string]int{}
		for line := range strings.Lines(side.b) {
			have[line]++
		}
		for line := range strings.Lines(side.a) {
			if have[line]--; have[line] < 0 {
				out.WriteString(side.sign + line)
			}
		}
	}
	return out.String()
}

// TestSpokeInTUNMode has a node with an interface. Its host's programs reach containers
// behind rootless routers, and everything of userspace mode still works.
func TestSpokeInTUNMode(t *testing.T) {
	w := newWorld(t, "ping")
	w.router("node1", "172.24.0.0/24", "fd00:24::/64")
	laptop := w.joinTUN("laptop", "-L", "8080:172.24.0.10:80", "-R", "80:127.0.0.1:9")
	w.in("node1", "ip", "addr", "add", "172.24.0.200/32", "dev", "lo") // a rootless router dials it as any other
	w.serveContainer("node1")
	w.mustPing("laptop", "172.24.0.10", "fd00:24::10", "172.24.0.200")
	w.fetch("laptop", "http://172.24.0.200/")
	w.fetch("laptop", "http://172.24.0.10/")
	w.fetch("laptop", "http://[fd00:24::10]/")
	w.fetch("laptop", "http://127.0.0.1:8080/")
	laptop.mustFetch("http://172.24.0.10/") // through its proxy
	laptop.mustFetch("http://[fd00:24::10]/")
	s := laptop.status()
	if s.Mode != "tun" || s.Interface != "wg0" || len(s.Skipped) > 0 {
		t.Errorf("status: mode %s, interface %s, skipped %v", s.Mode, s.Interface, s.Skipped)
	}
	for _, target := range []string{"node1", "172.24.0.10", "fd00:24::10", laptop.name4} {
		if out, code := laptop.cli(15*time.Second, "ping", "-c1", target); code != 0 {
			t.Errorf("nexd ping %s: exit %d\n%s", target, code, out)
		}
	}
	if out := w.in("laptop", "ip", "route", "get", "172.24.0.10"); !strings.Contains(out, "dev wg0") {
		t.Errorf("route: %s", out)
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", laptop.pid()))
	if err != nil || !strings.Contains(string(b), "CapEff:\t0000000000001000\n") || !strings.Contains(string(b), "CapBnd:\t0000000000000000\n") {
		t.Errorf("capabilities of the running node (%v):\n%s", err, b)
	}
}
