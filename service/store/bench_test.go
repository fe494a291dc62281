package store_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"nexd/mesh"
	"nexd/service/store"
)

// fill registers n nodes with endpoints, every tenth with a prefix.
func fill(tb testing.TB, s *store.Store, secret string, n int, hostname func(int) string) {
	tb.Helper()
	for i := range n {
		k, err := mesh.NewPrivateKey()
		if err != nil {
			tb.Fatal(err)
		}
		r := store.Registration{
			Key: k.Public(), RegistrationKey: secret, Hostname: hostname(i), OS: "linux", Version: "1",
			Endpoints: []netip.AddrPort{netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, byte(i >> 8), byte(i)}), 51820)},
		}
		if i%10 == 0 {
			r.Prefixes = []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}), 24)}
		}
		if _, err := s.Register(context.Background(), r); err != nil {
			tb.Fatal(err)
		}
	}
}

// TestFiveThousandNodes measures; NEXD_STORE_NODES chooses another number.
func TestFiveThousandNodes(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute under the race detector; make test runs it")
	}
	n := 500
	if v := os.Getenv("NEXD_STORE_NODES"); v != "" {
		if _, err := fmt.Sscan(v, &n); err != nil {
			t.Fatal(err)
		}
	}
	for _, names := range []struct {
		what string
		of   func(int) string
	}{{"own names", func(i int) string { return fmt.Sprint("host", i) }}, {"one name", func(int) string { return "container" }}} {
		path := filepath.Join(t.TempDir(), "nexd.db")
		s, b := fresh(t, path)
		begun := time.Now()
		fill(t, s, b.KeySecret, n, names.of)
		took := time.Since(begun)
		begun = time.Now()
		snap, err := s.Snapshot(t.Context(), b.Organization.ID)
		if err != nil || len(snap.Nodes) != n {
			t.Fatalf("%d nodes, %v", len(snap.Nodes), err)
		}
		snapTook := time.Since(begun)
		begun = time.Now()
		for range 100 {
			if _, err := s.Revs(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		t.Logf("%d nodes, %s: registered in %v (%v each), snapshot %v, revs %v", n, names.what,
			took.Round(time.Millisecond), (took / time.Duration(n)).Round(time.Microsecond), snapTook.Round(time.Microsecond), time.Since(begun)/100)
	}
}

// BenchmarkMapChange advertises a prefix and withdraws it, in an organization of 500
// nodes.
func BenchmarkMapChange(b *testing.B) {
	s, org, node := filled(b, 500)
	p := []netip.Prefix{netip.MustParsePrefix("172.24.0.0/24")}
	for i := 0; b.Loop(); i++ {
		if err := s.SetAdvertised(b.Context(), org, node, p[:i%2]); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSnapshot reads an organization of 500 nodes.
func BenchmarkSnapshot(b *testing.B) {
	s, org, _ := filled(b, 500)
	for b.Loop() {
		if _, err := s.Snapshot(b.Context(), org); err != nil {
			b.Fatal(err)
		}
	}
}

// filled is an organization of n nodes, and one of them.
func filled(b *testing.B, n int) (*store.Store, mesh.OrgID, mesh.NodeID) {
	b.Helper()
	s, boot := fresh(b, filepath.Join(b.TempDir(), "nexd.db"))
	fill(b, s, boot.KeySecret, n, func(i int) string { return fmt.Sprint("host", i) })
	snap, err := s.Snapshot(b.Context(), boot.Organization.ID)
	if err != nil {
		b.Fatal(err)
	}
	return s, boot.Organization.ID, snap.Nodes[1].ID
}
