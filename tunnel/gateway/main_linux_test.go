package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"sort"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nexd/internal/nstest"
	"nexd/mesh"
)

func TestMain(m *testing.M) { nstest.Main(m, victim) }

// isolated skips unless the test is in a namespace that it may change.
func isolated(t *testing.T, tools ...string) {
	t.Helper()
	nstest.Inside(t)
	for _, tool := range append(tools, "ip", "nft", "ping") {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	if out, err := exec.Command("ip", "link", "add", "probe0", "type", "veth", "peer", "name", "probe1").CombinedOutput(); err != nil {
		t.Skipf("no interface can be made here: %s", out)
	}
	run(t, noDAD+`ip link del probe0; ip link set lo up
cd /proc/sys/net; for f in ipv[46]/conf/all/forwarding ipv4/conf/all/rp_filter ipv4/conf/default/rp_filter; do echo 0 >$f; done`)
}

// noDAD makes link-local addresses usable at once: neighbours are asked from them.
const noDAD = "for i in all default; do echo 0 > /proc/sys/net/ipv6/conf/$i/accept_dad; done\n"

// node is a network namespace beside the router's.
type node struct {
	t  *testing.T
	fd int
}

// newNode makes a namespace that is gone when the test ends.
func newNode(t *testing.T) *node {
	t.Helper()
	n := &node{t: t, fd: -1}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlock: the thread ends with the goroutine
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			n.fd, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(n.fd) })
	n.run(noDAD + "ip link set lo up")
	return n
}

// in runs f on a thread in the namespace.
func (n *node) in(f func()) {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := unix.Setns(n.fd, unix.CLONE_NEWNET)
		if err == nil {
			f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) run(script string) (out string) {
	n.t.Helper()
	n.in(func() { out = run(n.t, script) })
	return out
}

// run is a script in the router's namespace that must succeed.
func run(t *testing.T, script string) string {
	t.Helper()
	out, err := exec.Command("sh", "-ec", script).CombinedOutput()
	if err != nil {
		t.Errorf("%s: %v\n%s", script, err, out)
	}
	return string(out)
}

// join gives the router an interface that leads to the node's eth0.
func (n *node) join(dev string) {
	n.t.Helper()
	pid := os.Getpid()
	run(n.t, fmt.Sprintf("ip link add %s type veth peer name eth0 netns /proc/%d/fd/%d; ip link set %s up", dev, pid, n.fd, dev))
	n.run("ip link set eth0 up")
	n.t.Cleanup(func() { exec.Command("ip", "link", "del", dev).Run() })
}

// pings reports whether an address answers. Neighbours are looked for first, so a
// second try is fair.
func (n *node) pings(to string) (ok bool) {
	n.in(func() {
		ok = exec.Command("ping", "-n", "-c", "2", "-i", "0.2", "-W", "1", to).Run() == nil
	})
	return ok
}

// whoami listens in the node and answers each caller with its address.
func (n *node) whoami(at string) {
	n.t.Helper()
	var ln net.Listener
	var err error
	n.in(func() { ln, err = net.Listen("tcp", at) })
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(c, addrOf(c.RemoteAddr()))
			c.Close()
		}
	}()
}

func addrOf(a net.Addr) string { return a.(*net.TCPAddr).AddrPort().Addr().Unmap().String() }

// ask is whom whoami sees when the node calls; empty if nobody answers.
func (n *node) ask(to string) (answer string) {
	n.in(func() {
		c, err := net.DialTimeout("tcp", to, 1500*time.Millisecond)
		if err != nil {
			return
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(2 * time.Second))
		buf := make([]byte, 64)
		k, _ := c.Read(buf)
		answer = string(buf[:k])
	})
	return answer
}

// lab is a router with a stand-in for the tunnel's interface, behind which peer
// is, with the address 100.64.0.3.
type lab struct {
	peer *node
	dir  string
}

func newLab(t *testing.T) *lab {
	l := &lab{peer: newNode(t), dir: t.TempDir()}
	l.peer.join("wg0")
	run(t, `
ip link set wg0 mtu 1300
ip addr add 100.64.0.1/32 dev wg0; ip route add 100.64.0.0/10 dev wg0
ip addr add fd64::1/128 dev wg0 nodad; ip route add fd64::/48 dev wg0`)
	l.peer.run(`
ip addr add 100.64.0.3/10 dev eth0; ip addr add fd64::3/48 dev eth0 nodad
ip route add default via 100.64.0.1; ip -6 route add default via fd64::1`)
	t.Cleanup(func() { run(t, "nft flush ruleset") })
	return l
}

// container is a node on a bridge, as Docker makes it: with the router as its
// gateway.
func container(t *testing.T, bridge, gateway, addr, gateway6, addr6 string) *node {
	t.Helper()
	n := newNode(t)
	n.join("v-" + bridge)
	run(t, fmt.Sprintf("ip link add %[1]s type bridge; ip link set v-%[1]s master %[1]s; ip link set %[1]s up; ip addr add %[2]s dev %[1]s; ip addr add %[3]s dev %[1]s nodad", bridge, gateway, gateway6))
	t.Cleanup(func() { exec.Command("ip", "link", "del", bridge).Run() })
	host := func(s string) string { return netip.MustParsePrefix(s).Addr().String() }
	n.run(fmt.Sprintf("ip addr add %s dev eth0; ip addr add %s dev eth0 nodad; ip route add default via %s; ip -6 route add default via %s", addr, addr6, host(gateway), host(gateway6)))
	return n
}

func (l *lab) gateway(t *testing.T, snat Mode, ads ...string) *Gateway {
	t.Helper()
	g, err := New(Config{Interface: "wg0", SNAT: snat, StateDir: l.dir, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Close() })
	if err := g.Set(advertised(t, ads...), pools); err != nil {
		t.Fatal(err)
	}
	for _, s := range g.Status() {
		t.Logf("status %+v", s)
	}
	return g
}

var pools = []netip.Prefix{netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("fd64::/48")}

func advertised(t *testing.T, ads ...string) (out []mesh.Advertisement) {
	t.Helper()
	for _, s := range ads {
		a, err := mesh.ParseAdvertisement(s)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, a)
	}
	return out
}

var counters = regexp.MustCompile(`(counter )?packets \d+ bytes \d+|\[\d+:\d+\]|(?m)^#.*$`)

// snapshot is everything gateway could have changed.
func snapshot(t *testing.T) string {
	t.Helper()
	out := []string{counters.ReplaceAllString(run(t, "nft list ruleset 2>/dev/null"), "")}
	for _, pattern := range []string{"ipv4/conf/*/forwarding", "ipv4/conf/*/rp_filter", "ipv4/ip_forward", "ipv6/conf/*/forwarding", "ipv6/conf/*/force_forwarding", "ipv6/conf/*/accept_ra"} {
		files, _ := filepath.Glob(root + pattern)
		sort.Strings(files)
		for _, f := range files {
			b, _ := os.ReadFile(f)
			out = append(out, f+" "+string(b))
		}
	}
	return strings.Join(out, "")
}

func same(t *testing.T, when, before, after string) {
	t.Helper()
	if before != after {
		a, b := strings.Split(before, "\n"), strings.Split(after, "\n")
		for i := range max(len(a), len(b)) {
			if i >= len(a) || i >= len(b) || a[i] != b[i] {
				t.Errorf("%s: not as before, from line %d:\n--- before\n%s\n--- after\n%s", when, i+1, strings.Join(a[i:], "\n"), strings.Join(b[i:], "\n"))
				return
			}
		}
	}
}

// running runs a gateway until the test ends.
func running(t *testing.T, g *Gateway) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// victim makes a gateway and waits to be killed.
func victim() {
	g, err := New(Config{Interface: "wg0", StateDir: os.Args[1]})
	if err == nil {
		a, _ := mesh.ParseAdvertisement("172.24.0.0/24")
		b, _ := mesh.ParseAdvertisement("fd24::/64")
		err = g.Set([]mesh.Advertisement{a, b}, pools)
	}
	fmt.Println("up", err)
}
