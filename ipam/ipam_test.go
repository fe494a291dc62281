package ipam_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"nexd/ipam"
	"nexd/mesh"
)

var t0 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func ExampleAllocator_Allocate() {
	a := ipam.New(new(ipam.Memory), ipam.Config{Pools: []netip.Prefix{netip.MustParsePrefix("100.64.0.0/30")}})
	for _, owner := range []mesh.NodeID{"ada", "bob", "ada", "cyd"} {
		addrs, err := a.Allocate(context.Background(), owner, t0)
		fmt.Println(owner, addrs, err)
	}
	// Output:
	// ada [100.64.0.1] <nil>
	// bob [100.64.0.2] <nil>
	// ada [100.64.0.1] <nil>
	// cyd [] ipam: no free address in 100.64.0.0/30
}

func ExampleAllocator_Hold() {
	ctx := context.Background()
	a := ipam.New(new(ipam.Memory), ipam.Config{Organization: "acme", Pools: []netip.Prefix{ipam.Pool4}})
	fmt.Println(a.Hold(ctx, netip.MustParsePrefix("172.24.0.0/24"), "ada"))
	fmt.Println(a.Hold(ctx, netip.MustParsePrefix("172.24.0.128/25"), "bob"))
	fmt.Println(a.Hold(ctx, netip.MustParsePrefix("127.0.0.0/8"), "bob"))
	// Output:
	// <nil>
	// ipam: prefix 172.24.0.128/25 overlaps 172.24.0.0/24, which is held by ada (never seen); release it with: nexservice prefix release 172.24.0.0/24 --org=acme
	// ipam: prefix 127.0.0.0/8 holds loopback addresses
}

func ExampleUniqueName() {
	taken := map[string]bool{"web": true}
	name, err := ipam.UniqueName(context.Background(), "Web.example.com", func(_ context.Context, n string) (bool, error) { return taken[n], nil })
	fmt.Println(name, err)
	// Output: web-2 <nil>
}

func TestAddressesOfBothFamilies(t *testing.T) {
	a := ipam.New(new(ipam.Memory), ipam.Config{Pools: pools})
	for i, owner := range []mesh.NodeID{"ada", "bob", "cyd"} {
		got, err := a.Allocate(t.Context(), owner, t0)
		want := fmt.Sprintf("[100.64.0.%d fd12:3456:789a::%d]", i+1, i+1)
		if err != nil || fmt.Sprint(got) != want {
			t.Errorf("%s got %v, %v; want %s", owner, got, err, want)
		}
	}
	if _, err := a.Allocate(t.Context(), "", t0); mesh.KindOf(err) != mesh.Invalid {
		t.Errorf("an address for nobody: %v", err)
	}
}

func TestReleasedAddressRests(t *testing.T) {
	pool := netip.MustParsePrefix("10.0.0.0/29") // .1 to .6
	a := ipam.New(new(ipam.Memory), ipam.Config{Pools: []netip.Prefix{pool}, Rest: time.Hour})
	get := func(owner mesh.NodeID, at time.Duration, want string) {
		t.Helper()
		got, err := a.Allocate(t.Context(), owner, t0.Add(at))
		if want == "" {
			if mesh.KindOf(err) != mesh.Exhausted || !strings.Contains(err.Error(), pool.String()) {
				t.Errorf("%s at %v got %v, %v; want an Exhausted error that names %v", owner, at, got, err, pool)
			}
			return
		}
		if err != nil || got[0].String() != want {
			t.Errorf("%s at %v got %v, %v; want %s", owner, at, got, err, want)
		}
	}
	for i := 1; i <= 3; i++ {
		get(mesh.NodeID(fmt.Sprint(i)), 0, fmt.Sprintf("10.0.0.%d", i))
	}
	if err := a.Free(t.Context(), "2", t0); err != nil {
		t.Fatal(err)
	}
	get("4", 0, "10.0.0.4") // not .2, although it is free
	get("5", 2*time.Hour, "10.0.0.5")
	get("6", 2*time.Hour, "10.0.0.6")   // not .2: as late as possible
	get("7", time.Hour-time.Second, "") // .2 still rests
	get("7", time.Hour, "10.0.0.2")     // and is given again
	get("8", 48*time.Hour, "")          // the rest are held
	get("7", 48*time.Hour, "10.0.0.2")  // who has one keeps it
	if err := a.Free(t.Context(), "nobody", t0); err != nil {
		t.Errorf("Free of nobody = %v", err)
	}
}

// A pool larger than a page of the search, full but for one gap.
func TestGapBehindAPage(t *testing.T) {
	m := new(ipam.Memory)
	pool := netip.MustParsePrefix("10.0.0.0/20")
	addr := pool.Addr()
	for i := range 4094 {
		if addr = addr.Next(); i != 3000 {
			if err := m.ClaimAddress(t.Context(), addr, mesh.NodeID(fmt.Sprint(i))); err != nil {
				t.Fatal(err)
			}
		}
	}
	a := ipam.New(m, ipam.Config{Pools: []netip.Prefix{pool}})
	got, err := a.Allocate(t.Context(), "last", t0)
	if err != nil || got[0].String() != "10.0.11.185" {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := a.Allocate(t.Context(), "more", t0); mesh.KindOf(err) != mesh.Exhausted {
		t.Errorf("a full pool gives %v", err)
	}
}

func TestPoolTooSmall(t *testing.T) {
	for _, s := range []string{"10.0.0.0/31", "10.0.0.1/32", "255.255.255.254/31", "fd00::/128"} {
		a := ipam.New(new(ipam.Memory), ipam.Config{Pools: []netip.Prefix{netip.MustParsePrefix(s)}})
		if got, err := a.Allocate(t.Context(), "ada", t0); mesh.KindOf(err) != mesh.Exhausted {
			t.Errorf("pool %s gives %v, %v", s, got, err)
		}
	}
}

func TestHoldAndRelease(t *testing.T) {
	m := &ipam.Memory{Describe: func(n mesh.NodeID) (string, time.Time) { return "name-of-" + string(n), t0 }}
	a := ipam.New(m, ipam.Config{Organization: "acme", Pools: pools, MaxPrefixes: 4})
	for _, tt := range []struct {
		op, owner, prefix string
		want              mesh.Kind
		text              string // in the error; "" = no error
	}{
		{"hold", "ada", "172.24.0.0/24", 0, ""},
		{"hold", "ada", "172.24.0.0/24", 0, ""}, // again
		{"hold", "bob", "172.24.0.0/24", mesh.Conflict, "172.24.0.0/24 is held by name-of-ada (last seen 2026-01-02T03:04:05Z); release it with: nexservice prefix release 172.24.0.0/24 --org=acme"},
		{"hold", "bob", "172.24.0.0/25", mesh.Conflict, "overlaps 172.24.0.0/24"},
		{"hold", "bob", "172.24.0.7/32", mesh.Conflict, "overlaps 172.24.0.0/24"},
		{"hold", "bob", "172.16.0.0/12", mesh.Conflict, "overlaps 172.24.0.0/24"},
		{"hold", "ada", "172.24.0.0/16", mesh.Conflict, "held by this node itself"},
		{"hold", "ada", "172.24.0.0/28", mesh.Conflict, "held by this node itself"},
		{"hold", "bob", "172.24.1.0/24", 0, ""},
		{"hold", "bob", "172.23.255.0/24", 0, ""},
		{"hold", "bob", "fd00:1::/64", 0, ""},
		{"hold", "ada", "fd00:1::/48", mesh.Conflict, "overlaps fd00:1::/64"},
		{"hold", "bob", "10.0.0.0/8", 0, ""},
		{"hold", "bob", "10.0.0.0/8", 0, ""}, // at the limit, but its own
		{"hold", "bob", "11.0.0.0/8", mesh.Exhausted, "holds 4 prefixes already"},
		{"hold", "", "11.0.0.0/8", mesh.Invalid, "needs an owner"},
		{"hold", "ada", "100.64.0.0/24", mesh.Invalid, "nodes get"},
		{"release", "bob", "172.24.0.0/24", mesh.Denied, "held by name-of-ada, not by this node"},
		{"release", "", "172.24.0.0/25", mesh.NotFound, "did you mean 172.24.0.0/24"},
		{"release", "", "12.0.0.0/8", mesh.NotFound, "is not held"},
		{"release", "", "172.24.0.0/24", 0, ""},
		{"release", "bob", "10.0.0.0/8", 0, ""},
		{"release", "bob", "10.0.0.0/8", mesh.NotFound, "is not held"},
		{"hold", "bob", "172.24.0.0/25", 0, ""},
	} {
		p := netip.MustParsePrefix(tt.prefix)
		var err error
		if tt.op == "hold" {
			err = a.Hold(t.Context(), p, mesh.NodeID(tt.owner))
		} else {
			_, err = a.Release(t.Context(), p, mesh.NodeID(tt.owner))
		}
		switch {
		case tt.text == "" && err != nil:
			t.Errorf("%s %s by %q = %v", tt.op, p, tt.owner, err)
		case tt.text != "" && (err == nil || mesh.KindOf(err) != tt.want || !strings.Contains(err.Error(), tt.text)):
			t.Errorf("%s %s by %q = %v (%v), want %v with %q", tt.op, p, tt.owner, err, mesh.KindOf(err), tt.want, tt.text)
		}
	}
	if _, err := a.Release(t.Context(), netip.Prefix{}, ""); mesh.KindOf(err) != mesh.Invalid {
		t.Errorf("Release of no prefix = %v", err)
	}
}

func TestConflictErrorCarriesTheHolding(t *testing.T) {
	a := ipam.New(new(ipam.Memory), ipam.Config{})
	p := netip.MustParsePrefix("172.24.0.0/24")
	if err := a.Hold(t.Context(), p, "ada"); err != nil {
		t.Fatal(err)
	}
	err := fmt.Errorf("outer: %w", a.Hold(t.Context(), netip.MustParsePrefix("172.24.0.0/16"), "bob"))
	var conflict *ipam.ConflictError
	if !errors.As(err, &conflict) || conflict.Holding.Prefix != p || conflict.Holding.Holder != "ada" || conflict.Own {
		t.Fatalf("error %v carries %+v", err, conflict)
	}
	if mesh.KindOf(err) != mesh.Conflict || conflict.WayOut() != "nexservice prefix release 172.24.0.0/24" {
		t.Errorf("kind %v, way out %q", mesh.KindOf(err), conflict.WayOut())
	}
}

// failing is a ledger of which one method after the other breaks.
type failing struct {
	ipam.Memory
	left int
}

var errBroken = errors.New("broken ledger")

func (f *failing) spend() error {
	if f.left--; f.left < 0 {
		return errBroken
	}
	return nil
}

func (f *failing) AddressOf(ctx context.Context, o mesh.NodeID, p netip.Prefix) (netip.Addr, bool, error) {
	if err := f.spend(); err != nil {
		return netip.Addr{}, false, err
	}
	return f.Memory.AddressOf(ctx, o, p)
}

func (f *failing) LastAddress(ctx context.Context, p netip.Prefix) (netip.Addr, bool, error) {
	if err := f.spend(); err != nil {
		return netip.Addr{}, false, err
	}
	return f.Memory.LastAddress(ctx, p)
}

func (f *failing) ClaimAddress(ctx context.Context, a netip.Addr, o mesh.NodeID) error {
	if err := f.spend(); err != nil {
		return err
	}
	return f.Memory.ClaimAddress(ctx, a, o)
}

func (f *failing) Overlapping(ctx context.Context, p netip.Prefix) (mesh.Holding, bool, error) {
	if err := f.spend(); err != nil {
		return mesh.Holding{}, false, err
	}
	return f.Memory.Overlapping(ctx, p)
}

func (f *failing) CountPrefixes(ctx context.Context, o mesh.NodeID) (int, error) {
	if err := f.spend(); err != nil {
		return 0, err
	}
	return f.Memory.CountPrefixes(ctx, o)
}

func TestLedgerErrorsComeThrough(t *testing.T) {
	p := netip.MustParsePrefix("172.24.0.0/24")
	for left := range 3 {
		f := &failing{left: left}
		a := ipam.New(f, ipam.Config{Pools: []netip.Prefix{ipam.Pool4}})
		if _, err := a.Allocate(t.Context(), "ada", t0); !errors.Is(err, errBroken) {
			t.Errorf("Allocate over a ledger that breaks after %d calls: %v", left, err)
		}
	}
	for left := range 2 {
		a := ipam.New(&failing{left: left}, ipam.Config{})
		if err := a.Hold(t.Context(), p, "ada"); !errors.Is(err, errBroken) {
			t.Errorf("Hold over a ledger that breaks after %d calls: %v", left, err)
		}
	}
	if _, err := ipam.New(&failing{}, ipam.Config{}).Release(t.Context(), p, ""); !errors.Is(err, errBroken) {
		t.Errorf("Release over a broken ledger: %v", err)
	}
}
