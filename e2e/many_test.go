package e2e

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nexd/internal/eventually"
	"nexd/mesh"
)

// TestTenThousandNodes runs a laptop in an organization of 10,000 nodes, and communicates
// with one of them.
func TestTenThousandNodes(t *testing.T) {
	t.Parallel() // most of it waits
	const nodes, mostKiB = 10_000, 64 << 10
	w := &world{lab: newLab(t, "curl")}
	w.host("node1", "192.0.2.11/24")
	w.host("laptop", "192.0.2.21/24")
	w.container("c1", "node1", "172.24.0.1/24", "172.24.0.10/24")
	w.serveContainer("c1")
	self := func(ns, addr4, addr6 string) mesh.Node {
		text := strings.TrimSpace(w.must(ns, 5*time.Second, bin("nexd"), "key", "--state-dir="+w.ownDir("state-"+ns)))
		key, err := mesh.ParseKey(text)
		if err != nil {
			t.Fatal(err)
		}
		return mesh.Node{Name: ns, Key: key, Addresses: []netip.Addr{netip.MustParseAddr(addr4), netip.MustParseAddr(addr6)}}
	}
	write := func(name string, m mesh.NetworkMap) string {
		m.Pools = []netip.Prefix{netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("fd00::/48")}
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(w.dir, name)
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	node1, laptop := self("node1", "100.127.0.1", "fd00::ffff:1"), self("laptop", "100.127.0.2", "fd00::ffff:2")
	routerMap := write("node1.json", mesh.NetworkMap{Self: node1, Peers: []mesh.Node{laptop}})
	node1.Prefixes = []netip.Prefix{netip.MustParsePrefix("172.24.0.0/24")}
	node1.Endpoints = []netip.AddrPort{netip.MustParseAddrPort("192.0.2.11:51820")}
	many := mesh.NetworkMap{Self: laptop, Peers: []mesh.Node{node1}}
	for i := range nodes - 1 {
		hi, lo := byte(i>>8), byte(i)
		many.Peers = append(many.Peers, mesh.Node{
			ID: mesh.NodeID(fmt.Sprintf("7d1f0c1a-0000-4000-8000-%012d", i)), Name: fmt.Sprintf("node-%05d", i), Key: mesh.Key{1, hi, lo, 31: 1},
			Addresses: []netip.Addr{netip.AddrFrom4([4]byte{100, 64, hi, lo}), netip.AddrFrom16([16]byte{0xfd, 13: 1, 14: hi, 15: lo})},
			Prefixes:  []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, hi, lo, 0}), 24)},
			Endpoints: []netip.AddrPort{
				netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, 100 + byte(i%100)}), 51820), netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 18, hi, lo}), 51820),
				netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 168, hi, lo}), 51820), netip.AddrPortFrom(netip.AddrFrom16([16]byte{0x20, 1, 0x0d, 0xb8, 14: hi, 15: lo}), 51820),
			},
			Online: true, LastSeen: time.Unix(1.7e9, 0).UTC(),
		})
	}
	largeMap := write("laptop.json", many)
	start := func(ns string, args ...string) *node {
		n := &node{w: w, ns: ns, state: w.ownDir("state-" + ns)}
		n.args = append(append([]string{bin("nexd")}, args...), "--userspace", "--state-dir="+n.state)
		n.launch()
		return n
	}
	start("node1", "router", "--advertise-cidr=172.24.0.0/24", "--listen-port=51820", "--map="+routerMap, "--proxy-listen=off")
	began := time.Now()
	n := start("laptop", "join", "--map="+largeMap)
	t.Logf("ready after %v, %d KiB resident", time.Since(began).Round(time.Millisecond), residentKiB(t, n))
	eventually.Within(t, 30*time.Second, "a node that is in a map with 10,000 others has less than 64 MiB resident", func() bool { return residentKiB(t, n) < mostKiB })
	t.Logf("%d KiB resident", residentKiB(t, n))
	sent := func() string {
		lines := strings.Split(w.must("laptop", 5*time.Second, "cat", "/proc/net/snmp"), "\n")
		for i := 0; i+1 < len(lines); i++ {
			if names, values := strings.Fields(lines[i]), strings.Fields(lines[i+1]); len(names) > 4 && names[0] == "Udp:" && names[4] == "OutDatagrams" && len(values) > 4 {
				return values[4]
			}
		}
		t.Fatal("the kernel does not count datagrams")
		return ""
	}
	before := sent()
	eventually.Stays(t, 3*time.Second, "no datagram is sent to nodes that nobody speaks to", func() bool { return sent() == before })
	n.mustFetch("http://172.24.0.10/")
	s := n.status()
	awake := 0
	for _, p := range s.Peers {
		if p.Path != "idle" {
			awake++
		}
	}
	if len(s.Peers) != nodes || awake != 1 {
		t.Errorf("status lists %d nodes, %d of them with a path; want %d and 1", len(s.Peers), awake, nodes)
	}
	eventually.Within(t, 30*time.Second, "status and traffic leave less than 64 MiB resident", func() bool { return residentKiB(t, n) < mostKiB })
	t.Logf("%d KiB resident after traffic and status", residentKiB(t, n))
}
