package column_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"nexd/service/store/column"
)

func TestAddressesSortAsText(t *testing.T) {
	var texts []string
	for _, s := range []string{"0.0.0.0", "9.255.0.1", "10.0.0.0", "100.64.0.2", "255.255.255.255"} {
		a := netip.MustParseAddr(s)
		text := column.Addr(a)
		if back, err := column.ParseAddr(text); err != nil || back != a || column.Family(a) != 4 {
			t.Errorf("%v became %q, %v, %v", a, text, back, err)
		}
		texts = append(texts, text)
	}
	if !slices.IsSorted(texts) {
		t.Errorf("not in the order of addresses: %q", texts)
	}
	v6 := netip.MustParseAddr("fd00::1")
	if back, err := column.ParseAddr(column.Addr(v6)); err != nil || back != v6 || column.Family(v6) != 6 {
		t.Errorf("%v became %v, %v", v6, back, err)
	}
	for _, bad := range []string{"", "zz", "0a0000"} {
		if a, err := column.ParseAddr(bad); err == nil {
			t.Errorf("%q became %v", bad, a)
		}
		if p, err := column.ParsePrefix(bad, 8); err == nil {
			t.Errorf("%q/8 became %v", bad, p)
		}
	}
	if p, err := column.ParsePrefix("0a000000", 33); err == nil {
		t.Errorf("a prefix of 33 bits became %v", p)
	}
}

func TestTimes(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	for _, want := range []time.Time{at, {}} {
		if got := column.ParseTime(column.Time(want)); !got.Equal(want) || got.IsZero() != want.IsZero() {
			t.Errorf("%v became %v", want, got)
		}
	}
}

func TestIP(t *testing.T) {
	for _, want := range []netip.Addr{{}, netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")} {
		if got, err := column.ParseIP(column.IP(want)); err != nil || got != want {
			t.Errorf("%v became %v, %v", want, got, err)
		}
	}
}

func TestClip(t *testing.T) {
	for in, want := range map[string]string{
		"host":                    "host",
		"a\x1b[31mb\n":            "a[31mb",
		"ab\u202egnp.exe":         "abgnp.exe", // turns the reading direction
		"\xff\xfeok":              "ok",
		strings.Repeat("x", 1000): strings.Repeat("x", 255),
	} {
		if got := column.Clip(in); got != want {
			t.Errorf("Clip(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestSecrets(t *testing.T) {
	a, b := column.NewSecret("nxk_"), column.NewSecret("nxk_")
	if a == b || !strings.HasPrefix(a, "nxk_") || len(a) != 36 || a != strings.ToLower(a) {
		t.Errorf("secrets %q and %q", a, b)
	}
	if h := column.Hash(a); strings.Contains(h, a) || !column.SameHash(h, column.Hash(a)) || column.SameHash(h, column.Hash(b)) {
		t.Errorf("hash %q", h)
	}
	if a, b := column.NewID(), column.NewID(); a == b || len(a) != 26 {
		t.Errorf("IDs %q and %q", a, b)
	}
}
