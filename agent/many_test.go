package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"nexd/internal/eventually"
	"nexd/internal/leak"
	"nexd/mesh"
	"nexd/netmap"
)

// manyNodes is an organization of n nodes, each with two addresses, a prefix and
// four places where it may be; the last of those is at.
func manyNodes(own mesh.Key, n int, at netip.AddrPort) *mesh.NetworkMap {
	m := &mesh.NetworkMap{
		Version: mesh.Version{Epoch: "e", Rev: 1}, Organization: "large", Pools: prefixes("100.64.0.0/10", "fd00:1::/48"),
		Self: mesh.Node{ID: "self", Name: "self", Key: own, Addresses: addrs("100.127.0.1", "fd00:1::ffff:1")},
	}
	for i := range n {
		hi, lo := byte(i>>8), byte(i)
		v6 := netip.MustParseAddr("fd00:1::").As16()
		v6[13], v6[14], v6[15] = 1, hi, lo
		m.Peers = append(m.Peers, mesh.Node{
			ID: mesh.NodeID(fmt.Sprintf("7d1f0c1a-0000-4000-8000-%012d", i)), Name: fmt.Sprintf("node-%05d", i), Key: mesh.Key{1, hi, lo, 31: 1},
			Addresses: []netip.Addr{netip.AddrFrom4([4]byte{100, 64, hi, lo}), netip.AddrFrom16(v6)},
			Prefixes:  []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, hi, lo, 0}), 24)},
			Endpoints: []netip.AddrPort{
				netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 168, hi, lo}), 51820), netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 18, hi, lo}), 51820),
				netip.AddrPortFrom(netip.AddrFrom16([16]byte{0x20, 1, 0x0d, 0xb8, 14: hi, 15: lo}), 51820), at,
			},
			Online: true, LastSeen: time.Unix(1.7e9, 0).UTC(),
		})
	}
	return m
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// TestTenThousandNodes runs a node that could speak to 10,000 others and speaks to
// none of them.
func TestTenThousandNodes(t *testing.T) {
	leak.Check(t)
	const nodes = 10_000
	everybody, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer everybody.Close()
	at := everybody.LocalAddr().(*net.UDPAddr).AddrPort()
	dir := shortDir(t)
	own, err := PublicKey(dir)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "many.json")
	write := func(m *mesh.NetworkMap) {
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file+".new", b, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
		t.Logf("the map has %.1f MiB", float64(len(b))/(1<<20))
	}
	m := manyNodes(own, nodes, at)
	write(m)
	m = nil
	before, goroutines := heap(), runtime.NumGoroutine()
	began := time.Now()
	a := run(t, Config{StateDir: dir, MapFile: file, ProxyListen: []string{"127.0.0.1:0"}})
	t.Logf("ready after %v", time.Since(began).Round(time.Millisecond))
	used := heap() - before
	t.Logf("%.1f MiB on the heap and in stacks, %d goroutines", float64(used)/(1<<20), runtime.NumGoroutine()-goroutines)
	if used > 40<<20 {
		t.Errorf("%d nodes use %d MiB", nodes, used>>20)
	}
	if n := runtime.NumGoroutine() - goroutines; n > 200 {
		t.Errorf("%d goroutines", n)
	}
	s, err := a.client().Status(context.Background())
	if err != nil || len(s.Peers) != nodes {
		t.Fatalf("status has %d peers, %v", len(s.Peers), err)
	}
	for _, p := range s.Peers {
		if p.Path != "idle" || len(p.Prefixes) != 1 || len(p.Addresses) != 2 {
			t.Fatalf("peer %+v", p)
		}
	}

	m = manyNodes(own, nodes, at)
	m.Peers[77].Prefixes = prefixes("10.200.0.0/24")
	write(m)
	eventually.Within(t, 2*time.Minute, "the changed map is applied", func() bool {
		if s, err = a.client().Status(context.Background()); err != nil {
			t.Fatal(err)
		}
		return s.Peers[77].Prefixes[0] == m.Peers[77].Prefixes[0]
	})
	everybody.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
	buf := make([]byte, 2048)
	if n, from, err := everybody.ReadFrom(buf); err == nil {
		t.Errorf("%d bytes came from %v to nodes that nobody speaks to", n, from)
	}

	done := make(chan struct{})
	go func() { a.get("http://10.200.0.1/"); close(done) }() // nobody answers
	everybody.SetReadDeadline(time.Now().Add(30 * time.Second))
	if n, _, err := everybody.ReadFrom(buf); err != nil || n != 148 && n < 66 {
		t.Errorf("the first packet to a node makes no initiation: %d bytes, %v", n, err)
	}
	s, err = a.client().Status(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	awake := 0
	for _, p := range s.Peers {
		if p.Path != "idle" {
			awake++
		}
	}
	if awake != 1 {
		t.Errorf("%d peers are awake, want 1", awake)
	}
	a.stop()
	<-done
}

// BenchmarkApply is what one changed node among many costs.
func BenchmarkApply(b *testing.B) {
	for _, nodes := range []int{100, 1000, 10_000} {
		b.Run(fmt.Sprint(nodes), func(b *testing.B) {
			n := benchNode(b)
			m := manyNodes(n.state.key.Public(), nodes, netip.MustParseAddrPort("192.0.2.1:9"))
			v := netmap.New(nil)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				m.Rev++
				m.Peers[i%nodes].Prefixes = []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 200, byte(i), 0}), 24)}
				v, _ = v.Replace(m)
				if err := n.apply(v); err != nil {
					b.Fatal(err)
				}
				m.Peers[i%nodes].Prefixes = nil
			}
		})
	}
}

// benchNode is a node whose data path is open.
func benchNode(b *testing.B) *node {
	b.Helper()
	st, err := openState(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { st.close() })
	n := &node{cfg: Config{Logger: slog.New(slog.DiscardHandler)}, state: st, log: slog.New(slog.DiscardHandler), mode: userspaceMode, mapped: make(chan struct{}, 1)}
	if n.path, err = newDatapath(b.Context(), n, 0); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(n.path.close)
	debug.FreeOSMemory()
	return n
}
