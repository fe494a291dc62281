package hostport_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"testing"

	"nexd/internal/hostport"
	"nexd/mesh"
)

func TestResolve(t *testing.T) {
	lookup := func(_ context.Context, host string) ([]netip.Addr, error) {
		if host != "name" {
			t.Errorf("asked for %q", host)
		}
		return []netip.Addr{netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("::ffff:192.0.2.1")}, nil
	}
	got, err := hostport.Resolve(t.Context(), lookup, "name:3478")
	want := []netip.AddrPort{netip.MustParseAddrPort("[2001:db8::1]:3478"), netip.MustParseAddrPort("192.0.2.1:3478")}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
}

func TestPlacesThatAreNone(t *testing.T) {
	never := func(context.Context, string) ([]netip.Addr, error) { t.Error("asked"); return nil, nil }
	for _, place := range []string{"", "name", "name:", "name:stun", "name:65536", "name:-1", "2001:db8::1:3478"} {
		if got, err := hostport.Resolve(t.Context(), never, place); got != nil || mesh.KindOf(err) != mesh.Invalid {
			t.Errorf("%q: %v, %v", place, got, err)
		}
	}
}

func TestWhatTheLookupSays(t *testing.T) {
	gone := errors.New("no such host")
	if _, err := hostport.Resolve(t.Context(), func(context.Context, string) ([]netip.Addr, error) { return nil, gone }, "name:1"); !errors.Is(err, gone) {
		t.Error(err)
	}
}

func TestSystemTakesWrittenOutAddresses(t *testing.T) {
	got, err := hostport.Resolve(t.Context(), hostport.System, "[::1]:80")
	if err != nil || !slices.Equal(got, []netip.AddrPort{netip.MustParseAddrPort("[::1]:80")}) {
		t.Errorf("%v, %v", got, err)
	}
}
