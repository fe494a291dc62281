package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"nexd/ipam"
	"nexd/mesh"
	"nexd/service/store"
)

var prefixes = map[string]func(*testing.T, Open){
	"held and advertised are two things":       heldAndAdvertised,
	"a conflict names the holder":              conflictNamesHolder,
	"a set of prefixes is taken whole or not":  advertiseAtomic,
	"the ledger agrees with the one in memory": ledgerAgrees,
	"prefixes per node are limited":            prefixLimit,
}

var addresses = map[string]func(*testing.T, Open){
	"released addresses rest":           addressRest,
	"addresses rise in both families":   addressesRise,
	"a full pool says so and is reused": fullPool,
	"what is held is not claimed":       heldIsHeld,
}

func (w *world) advertise(n mesh.Node, prefixes ...string) error {
	return w.SetAdvertised(w.t.Context(), w.org.ID, n.ID, parse(prefixes...))
}

// held lists the organization's held prefixes, with "*" behind advertised ones.
func (w *world) held() string {
	w.t.Helper()
	hs, err := w.Prefixes(w.t.Context(), w.org.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for _, h := range hs {
		s := h.HolderName + ":" + h.Prefix.String()
		if h.Advertised {
			s += "*"
		}
		out = append(out, s)
	}
	return strings.Join(out, " ")
}

func heldAndAdvertised(t *testing.T, open Open) {
	w := bootstrapped(t, open, store.Options{})
	ada, bob := w.join("ada", "172.24.0.0/24"), w.join("bob")
	release := func(p string, n mesh.NodeID) error {
		_, err := w.ReleasePrefix(t.Context(), w.org.ID, netip.MustParsePrefix(p), n)
		return err
	}
	rev := w.revs().Map
	for _, tt := range []struct {
		name string
		do   func() error
		kind mesh.Kind // Internal = no error
		held string
		rev  uint64 // how much it rises
	}{
		{"the same again", func() error { return w.advertise(ada, "172.24.0.0/24", "172.24.0.0/24") }, 0, "ada:172.24.0.0/24*", 0},
		{"one more", func() error { return w.advertise(ada, "172.24.0.0/24", "10.0.0.0/24") }, 0, "ada:10.0.0.0/24* ada:172.24.0.0/24*", 1},
		{"one less stays held", func() error { return w.advertise(ada, "10.0.0.0/24") }, 0, "ada:10.0.0.0/24* ada:172.24.0.0/24", 1},
		{"nobody else gets it", func() error { return w.advertise(bob, "172.24.0.0/25") }, mesh.Conflict, "ada:10.0.0.0/24* ada:172.24.0.0/24", 0},
		{"its holder not in another size", func() error { return w.advertise(ada, "172.24.0.0/16") }, mesh.Conflict, "ada:10.0.0.0/24* ada:172.24.0.0/24", 0},
		{"back again", func() error { return w.advertise(ada, "172.24.0.0/24") }, 0, "ada:10.0.0.0/24 ada:172.24.0.0/24*", 1},
		{"release by a stranger", func() error { return release("172.24.0.0/24", bob.ID) }, mesh.Denied, "ada:10.0.0.0/24 ada:172.24.0.0/24*", 0},
		{"release of what is not advertised", func() error { return release("10.0.0.0/24", ada.ID) }, 0, "ada:172.24.0.0/24*", 0},
		{"release by the administrator", func() error { return release("172.24.0.0/24", "") }, 0, "", 1},
		{"release of nothing", func() error { return release("172.24.0.0/24", "") }, mesh.NotFound, "", 0},
		{"now free", func() error { return w.advertise(bob, "172.24.0.0/25") }, 0, "bob:172.24.0.0/25*", 1},
		{"none at all", func() error { return w.advertise(bob) }, 0, "bob:172.24.0.0/25", 1},
		{"by nobody", func() error { return w.advertise(mesh.Node{ID: "nobody"}, "10.0.0.0/8") }, mesh.NotFound, "bob:172.24.0.0/25", 0},
	} {
		err := tt.do()
		if mesh.KindOf(err) != tt.kind || (err == nil) != (tt.kind == mesh.Internal) {
			t.Errorf("%s: error %v, want kind %v", tt.name, err, tt.kind)
		}
		if got := w.held(); got != tt.held {
			t.Errorf("%s: held %q, want %q", tt.name, got, tt.held)
		}
		rev += tt.rev
		if got := w.revs().Map; got != rev {
			t.Errorf("%s: revision %d, want %d", tt.name, got, rev)
			rev = got
		}
	}
	if n := w.snapshot().Nodes[1]; n.Name != "bob" || len(n.Prefixes) != 0 {
		t.Errorf("the snapshot shows what is held only: %+v", n)
	}
}

func conflictNamesHolder(t *testing.T, open Open) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	w := bootstrapped(t, open, store.Options{Now: func() time.Time { return now }})
	ada := w.join("ada", "172.24.0.0/24")
	now = now.Add(time.Hour)
	bob := w.join("bob")
	err := w.advertise(bob, "172.16.0.0/12")
	var conflict *ipam.ConflictError
	if !errors.As(err, &conflict) {
		t.Fatalf("error %v is no *ipam.ConflictError", err)
	}
	want := mesh.Holding{Prefix: netip.MustParsePrefix("172.24.0.0/24"), Holder: ada.ID, HolderName: "ada", LastSeen: ada.LastSeen, Advertised: true}
	if conflict.Holding != want || conflict.Own {
		t.Errorf("conflict %+v, want %+v", conflict.Holding, want)
	}
	const text = "ipam: prefix 172.16.0.0/12 overlaps 172.24.0.0/24, which is held by ada (last seen 2026-01-02T03:04:05Z); release it with: nexservice prefix release 172.24.0.0/24 --org=default"
	if err.Error() != text {
		t.Errorf("error %q, want %q", err, text)
	}
}

func advertiseAtomic(t *testing.T, open Open) {
	w := bootstrapped(t, open, store.Options{})
	w.join("ada", "172.24.0.0/24")
	bob := w.join("bob", "10.0.0.0/24")
	wantKind(t, "a set with a conflict", w.advertise(bob, "10.2.0.0/24", "172.24.0.0/24"), mesh.Conflict)
	wantKind(t, "a set that overlaps itself", w.advertise(bob, "10.2.0.0/24", "10.2.0.0/16"), mesh.Conflict)
	wantKind(t, "a set with the pool", w.advertise(bob, "10.2.0.0/24", w.org.Pool6.String()), mesh.Invalid)
	if got, want := w.held(), "bob:10.0.0.0/24* ada:172.24.0.0/24*"; got != want {
		t.Errorf("held %q, want %q", got, want)
	}
}

func prefixLimit(t *testing.T, open Open) {
	w := bootstrapped(t, open, store.Options{})
	n := w.join("greedy")
	many := make([]netip.Prefix, ipam.DefaultMaxPrefixes+1)
	for i := range many {
		many[i] = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}), 24)
	}
	wantKind(t, "too many prefixes", w.SetAdvertised(t.Context(), w.org.ID, n.ID, many), mesh.Exhausted)
	wantOK(t, "as many as may be", w.SetAdvertised(t.Context(), w.org.ID, n.ID, many[1:]))
	wantOK(t, "none", w.SetAdvertised(t.Context(), w.org.ID, n.ID, nil))
	wantKind(t, "another, while the old ones are held", w.SetAdvertised(t.Context(), w.org.ID, n.ID, many[:1]), mesh.Exhausted)
}

// ledgerAgrees runs the same random operations on the store's ledger and on the ledger
// in memory, which package ipam tests against a naive model.
func ledgerAgrees(t *testing.T, open Open) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	w := bootstrapped(t, open, store.Options{Now: func() time.Time { return now }})
	other := w.second("other") // its rows must not be seen
	other.join("stranger", "10.0.0.0/8", "2001::/16")
	nodes := make([]mesh.Node, 12)
	names := map[mesh.NodeID]string{}
	for i := range nodes {
		nodes[i] = w.join(fmt.Sprint("n", i))
		names[nodes[i].ID] = nodes[i].Name
	}
	mem := &ipam.Memory{Describe: func(id mesh.NodeID) (string, time.Time) { return names[id], now }}
	cfg := ipam.Config{Organization: "default", Pools: parse("10.99.0.0/28", "fd00:99::/125"), MaxPrefixes: 40}
	r := rand.New(rand.NewPCG(4, 2))
	clock := now
	for range 60 {
		ops := make([]func(context.Context, *ipam.Allocator) string, 50)
		for i := range ops {
			clock = clock.Add(time.Duration(r.Int64N(int64(3 * time.Hour))))
			ops[i] = randomOp(r, nodes, clock)
		}
		got := make([]string, len(ops))
		wantOK(t, "Update", w.Update(t.Context(), w.org.ID, func(tx *store.Tx) error {
			for i, op := range ops {
				got[i] = op(t.Context(), ipam.New(tx, cfg))
			}
			return nil
		}))
		for i, op := range ops {
			if want := op(t.Context(), ipam.New(mem, cfg)); got[i] != want {
				t.Fatalf("the store says %s\nthe memory says %s", got[i], want)
			}
		}
	}
	if hs, err := other.Prefixes(t.Context(), other.org.ID); err != nil || len(hs) != 2 {
		t.Errorf("the stranger's prefixes: %v, %v", hs, err)
	}
}

// randomOp draws an operation that can run on several allocators. It returns the
// operation and its result in words.
func randomOp(r *rand.Rand, nodes []mesh.Node, now time.Time) func(context.Context, *ipam.Allocator) string {
	n, p, kind := nodes[r.IntN(len(nodes))], randomPrefix(r), r.IntN(10)
	return func(ctx context.Context, a *ipam.Allocator) string {
		switch {
		case kind < 4:
			return fmt.Sprintf("hold %v by %s: %v", p, n.Name, a.Hold(ctx, p, n.ID))
		case kind < 6:
			h, err := a.Release(ctx, p, n.ID)
			return fmt.Sprintf("release %v by %s: %v, %v", p, n.Name, h.Prefix, err)
		case kind == 6:
			h, err := a.Release(ctx, p, "")
			return fmt.Sprintf("release %v: %v, %v", p, h.Prefix, err)
		case kind == 7:
			return fmt.Sprintf("free %s: %v", n.Name, a.Free(ctx, n.ID, now))
		}
		addrs, err := a.Allocate(ctx, n.ID, now)
		return fmt.Sprintf("allocate for %s: %v, %v", n.Name, addrs, err)
	}
}

// randomPrefix uses few addresses, so that many prefixes overlap.
func randomPrefix(r *rand.Rand) netip.Prefix {
	if r.IntN(3) == 0 {
		b := [16]byte{0: 0x20, 1: 0x01, 7: byte(r.IntN(2)), 15: byte(r.IntN(2))}
		return netip.PrefixFrom(netip.AddrFrom16(b), 120+r.IntN(9)-r.IntN(2)*60).Masked()
	}
	b := [4]byte{10, byte(r.IntN(2) * 128), byte(r.IntN(2)), byte(r.IntN(4) * 64)}
	return netip.PrefixFrom(netip.AddrFrom4(b), 14+r.IntN(14)).Masked()
}

func addressRest(t *testing.T, open Open) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	w := bootstrapped(t, open, store.Options{Now: func() time.Time { return now }})
	a := w.join("a")
	w.join("b")
	_, err := w.RemoveNode(t.Context(), w.org.ID, "a")
	wantOK(t, "RemoveNode", err)
	if c := w.join("c"); c.Addresses[0] == a.Addresses[0] || c.Addresses[1] == a.Addresses[1] {
		t.Errorf("c gets %v at once after a", c.Addresses)
	}
	s := w.snapshot()
	if len(s.Nodes) != 2 {
		t.Errorf("nodes %v", s.Nodes)
	}
}

func addressesRise(t *testing.T, open Open) {
	w := bootstrapped(t, open, store.Options{})
	for i := 1; i <= 300; i++ {
		n := w.join("x")
		if want := fmt.Sprintf("100.64.%d.%d", i>>8, i&255); n.Addresses[0].String() != want {
			t.Fatalf("node %d has %v, want %s", i, n.Addresses, want)
		}
		if want := netip.MustParsePrefix(w.org.Pool6.String()).Addr().String() + fmt.Sprintf("%x", i); n.Addresses[1].String() != want {
			t.Fatalf("node %d has %v, want %s", i, n.Addresses, want)
		}
	}
}

func fullPool(t *testing.T, open Open) {
	w := bootstrapped(t, open, store.Options{})
	nodes := []mesh.Node{w.join("a"), w.join("b"), w.join("c")}
	cfg := ipam.Config{Pools: parse("10.0.0.0/30"), Rest: time.Hour}
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var got []string
	wantOK(t, "Update", w.Update(t.Context(), w.org.ID, func(tx *store.Tx) error {
		got = nil // an engine may run this again
		a := ipam.New(tx, cfg)
		for _, n := range nodes {
			addrs, err := a.Allocate(t.Context(), n.ID, start)
			got = append(got, fmt.Sprint(addrs, mesh.KindOf(err)))
		}
		if err := a.Free(t.Context(), nodes[1].ID, start); err != nil {
			return err
		}
		for _, at := range []time.Duration{time.Hour - 1000, time.Hour} {
			addrs, err := a.Allocate(t.Context(), nodes[2].ID, start.Add(at))
			got = append(got, fmt.Sprint(addrs, mesh.KindOf(err)))
		}
		return nil
	}))
	want := []string{"[10.0.0.1] internal", "[10.0.0.2] internal", "[] exhausted", "[] exhausted", "[10.0.0.2] internal"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// heldIsHeld bypasses the rules of ipam. The database itself must refuse.
func heldIsHeld(t *testing.T, open Open) {
	w := bootstrapped(t, open, store.Options{})
	ada, bob := w.join("ada", "172.24.0.0/24"), w.join("bob")
	for what, claim := range map[string]func(*store.Tx) error{
		"address":                   func(tx *store.Tx) error { return tx.ClaimAddress(t.Context(), ada.Addresses[0], bob.ID) },
		"prefix":                    func(tx *store.Tx) error { return tx.HoldPrefix(t.Context(), ada.Prefixes[0], bob.ID) },
		"prefix of another length":  func(tx *store.Tx) error { return tx.HoldPrefix(t.Context(), parse("172.24.0.0/16")[0], bob.ID) },
		"prefix that nobody holds":  func(tx *store.Tx) error { return tx.DropPrefix(t.Context(), parse("10.0.0.0/8")[0]) },
		"address for a stranger":    func(tx *store.Tx) error { return tx.ClaimAddress(t.Context(), ada.Addresses[0].Next(), "nobody") },
		"prefix held by a stranger": func(tx *store.Tx) error { return tx.HoldPrefix(t.Context(), parse("10.0.0.0/8")[0], "nobody") },
	} {
		if err := w.Update(t.Context(), w.org.ID, claim); err == nil || mesh.KindOf(err) != mesh.Internal {
			t.Errorf("%s: error %v", what, err)
		}
	}
	if s := w.snapshot(); len(s.Nodes[0].Addresses) != 2 || len(s.Nodes[1].Addresses) != 2 || w.held() != "ada:172.24.0.0/24*" {
		t.Errorf("left: %+v, %s", s.Nodes, w.held())
	}
}
