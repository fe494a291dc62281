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
