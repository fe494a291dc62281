package agent

import (
	"context"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"nexd/e2e/meshtest"
	"nexd/internal/eventually"
	"nexd/internal/leak"
	"nexd/internal/testmap"
	"nexd/mesh"
	"nexd/node"
	"nexd/node/state"
)

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
	own, err := state.PublicKey(dir)
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
	m := meshtest.ManyNodes(own, nodes, at)
	write(m)
	m = nil
	before, goroutines := heap(), runtime.NumGoroutine()
	began := time.Now()
	a := run(t, Config{Config: node.Config{StateDir: dir, MapFile: file}, ProxyListen: []string{"127.0.0.1:0"}})
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

	m = meshtest.ManyNodes(own, nodes, at)
	m.Peers[77].Prefixes = testmap.Prefixes("10.200.0.0/24")
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
