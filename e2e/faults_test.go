package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"nexd/internal/eventually"
	"nexd/mesh"
)

// TestKilledAgentsComeBack kills each agent during a transfer and restarts it.
func TestKilledAgentsComeBack(t *testing.T) {
	w := newWorld(t)
	node1 := w.router("node1", "172.24.0.0/24")
	laptop := w.join("laptop")
	laptop.mustFetch("http://172.24.0.10/")
	for _, victim := range []*node{node1, laptop} {
		t.Run(victim.ns, func(t *testing.T) {
			before := victim.status()
			w.start("laptop", "transfer", nil, "curl", "-s", "-o", "/dev/null", "-x", laptop.socks5h(), "http://172.24.0.10/bytes?n=2000000000")
			eventually.Within(t, 10*time.Second, "the transfer runs", func() bool { return laptop.status().Peers[0].RxBytes > 20<<20 })
			eventually.Within(t, 5*time.Second, "the session is noted", func() bool {
				b, _ := os.ReadFile(filepath.Join(victim.state, "sessions.json"))
				return len(b) > 20
			})
			victim.restart()
			took := eventually.Within(t, 15*time.Second, "a new transfer works", func() bool {
				_, code := laptop.curl(2*time.Second, "-x", laptop.socks5h(), "http://172.24.0.10/")
				return code == 0
			})
			t.Logf("new transfer %v after the restart", took)
			if took > 5*time.Second {
				t.Errorf("a new transfer took %v, want 5 s", took)
			}
			after := victim.status()
			if before.Node.ID != after.Node.ID || before.Node.Name != after.Node.Name || before.Node.Port != after.Node.Port || before.Node.Addresses[0] != after.Node.Addresses[0] {
				t.Errorf("node was %+v, is %+v", before.Node, after.Node)
			}
		})
	}
}

// TestServiceOutage stops the service: transfers continue, new ones start, and restarted
// agents still find each other. Then the service returns.
func TestServiceOutage(t *testing.T) {
	t.Parallel() // mostly it waits
	w := newWorld(t)
	node1 := w.router("node1", "172.24.0.0/24")
	laptop := w.join("laptop")
	laptop.mustFetch("http://172.24.0.10/")
	node1.untilMapKept("laptop")
	laptop.untilMapKept("node1")
	w.svc.stop(syscall.SIGKILL)
	eventually.Within(t, 10*time.Second, "the agents notice", func() bool { return !laptop.status().Service.Connected })
	laptop.mustFetch("http://172.24.0.10/")
	if out, code := laptop.cli(5*time.Second, "status"); code != 0 || !strings.Contains(out, "unreachable since") {
		t.Errorf("status during the outage: exit %d\n%s", code, out)
	}
	node1.restart()
	laptop.restart()
	laptop.mustFetch("http://172.24.0.10/")
	node1.mustFetchOwn()
	logged := strings.Count(laptop.log(), "service lost")
	eventually.Stays(t, 4*time.Second, "one outage is logged once more at most", func() bool {
		return strings.Count(laptop.log(), "service lost") <= logged+1
	})
	w.serve()
	eventually.Within(t, 40*time.Second, "both are connected again", func() bool {
		return laptop.status().Service.Connected && node1.status().Service.Connected
	})
	laptop.mustFetch("http://172.24.0.10/")
	if d := laptop.stop(syscall.SIGTERM); d > 2*time.Second {
		t.Errorf("SIGTERM took %v", d)
	}
}

// untilMapKept waits until the node has a map on disk that says where the peer is. A map
// that comes soon after another one waits to be written, and the node may be killed
// meanwhile.
func (n *node) untilMapKept(peer string) {
	n.w.t.Helper()
	eventually.True(n.w.t, n.ns+" has kept a map with the endpoints of "+peer, func() bool {
		b, err := os.ReadFile(filepath.Join(n.state, "map.json"))
		var m mesh.NetworkMap
		if err != nil || json.Unmarshal(b, &m) != nil {
			return false
		}
		return slices.ContainsFunc(m.Peers, func(p mesh.Node) bool { return p.Name == peer && len(p.Endpoints) > 0 })
	})
}

// mustFetchOwn checks that a restarted router has kept its identity.
func (n *node) mustFetchOwn() {
	n.w.t.Helper()
	if s := n.status(); s.Node.ID == "" || len(s.Node.Prefixes) == 0 {
		n.w.t.Errorf("%s has lost itself: %+v", n.ns, s.Node)
	}
}

// TestRoamingClient removes the laptop's interface during a transfer and adds another one,
// in another network behind a NAT. Then the address of that interface changes.
func TestRoamingClient(t *testing.T) {
	t.Parallel() // mostly it waits
	w := newWorld(t, "nft")
	w.host("hotspot", "192.0.2.51/24")
	w.masquerade("hotspot")
	node1 := w.router("node1", "172.24.0.0/24")
	laptop := w.join("laptop")
	file := filepath.Join(w.ownDir("bulk"), "roam")
	const n = 1_000_000_000
	p := w.start("laptop", "transfer", nil, "curl", "-sS", "-o", file, "-x", laptop.socks5h(), "--limit-rate", "60M", "http://172.24.0.10/bytes?n="+itoa(n))
	have := func() int64 {
		info, err := os.Stat(file)
		if err != nil {
			return 0
		}
		return info.Size()
	}
	eventually.Within(t, 30*time.Second, "the transfer runs", func() bool { return have() > 100<<20 })

	w.in("laptop", "ip", "link", "del", "eth0")
	w.link("laptop", "wlan0", "hotspot", "to-laptop", []string{"10.9.0.10/24"}, []string{"10.9.0.1/24"})
	w.in("laptop", "ip", "route", "add", "default", "via", "10.9.0.1")
	t.Logf("another interface: answers after %v", laptop.untilFlows(node1.name4, 30*time.Second))
	at := have()
	eventually.Within(t, 60*time.Second, "the transfer goes on", func() bool { return have() > at+100<<20 })

	w.in("laptop", "ip", "addr", "del", "10.9.0.10/24", "dev", "wlan0")
	w.in("laptop", "ip", "addr", "add", "10.9.0.77/24", "dev", "wlan0")
	w.in("laptop", "ip", "route", "replace", "default", "via", "10.9.0.1")
	t.Logf("another address: answers after %v", laptop.untilFlows(node1.name4, 30*time.Second))
	if left := n - have(); left < 50<<20 {
		t.Errorf("the transfer had only %d bytes left to notice it", left)
	}
	if code := p.exit(3 * time.Minute); code != 0 || fileSum(t, file) != patternSum(n) {
		t.Errorf("curl exit %d, %d bytes, hash %s\n%s", code, have(), fileSum(t, file), p.log())
	}
}

// TestThousandIdleConnections opens 1,000 connections through the proxy and closes them.
// Descriptors and memory must be released.
func TestThousandIdleConnections(t *testing.T) {
	w := newWorld(t)
	node1 := w.router("node1", "172.24.0.0/24")
	laptop := w.join("laptop")
	laptop.mustFetch("http://172.24.0.10/")
	nodes := []*node{laptop, node1}
	files, memory := make([]int, 2), make([]int, 2)
	for i, n := range nodes {
		files[i], memory[i] = openFiles(t, n), residentKiB(t, n)
	}
	const conns = 1000
	p := w.startWithInput("laptop", "idle", []string{"NEXD_E2E_HELPER=1"}, bin("helper"), "idle", laptop.proxy, "172.24.0.10:7", itoa(conns))
	p.line("open", time.Minute)
	for i, n := range nodes {
		t.Logf("%s: %.1f KiB per idle connection", n.ns, float64(residentKiB(t, n)-memory[i])/conns)
		if got := openFiles(t, n); got < conns { // what was open at the start may have ended since
			t.Errorf("%s has %d descriptors with %d connections", n.ns, got, conns)
		}
	}
	p.endInput()
	p.exit(10 * time.Second)
	for i, n := range nodes {
		eventually.Within(t, 15*time.Second, n.ns+" gives its descriptors back", func() bool { return openFiles(t, n) <= files[i]+5 })
	}
	laptop.mustFetch("http://172.24.0.10/")
	p = w.startWithInput("laptop", "idle", []string{"NEXD_E2E_HELPER=1"}, bin("helper"), "idle", laptop.proxy, "172.24.0.10:7", itoa(conns))
	p.line("open", time.Minute)
	peak := []int{residentKiB(t, laptop), residentKiB(t, node1)}
	p.endInput()
	p.exit(10 * time.Second)
	for i, n := range nodes {
		eventually.Within(t, 60*time.Second, n.ns+" reuses or gives back memory", func() bool { return residentKiB(t, n) < peak[i]+1024 })
	}
}
