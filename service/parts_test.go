package service

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"nexd/control"
	"nexd/mesh"
)

func TestOwnTLSKey(t *testing.T) {
	c1, k1, err := NewTLSKey(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	cert, pin, err := LoadTLS(c1, k1)
	if err != nil || pin.IsZero() || pin != control.PinOf(cert.Leaf) || cert.Leaf.NotAfter.Year() != 9999 {
		t.Errorf("LoadTLS: %v, %v", pin, err)
	}
	c2, _, err := NewTLSKey(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, pair := range [][2][]byte{{c2, k1}, {nil, k1}, {c1, nil}, {k1, c1}} {
		if _, _, err := LoadTLS(pair[0], pair[1]); mesh.KindOf(err) != mesh.Invalid || err == nil {
			t.Errorf("a pair that does not fit: %v", err)
		}
	}
}

func TestWithObserved(t *testing.T) {
	pools := []netip.Prefix{netip.MustParsePrefix("100.64.0.0/10")}
	eps := func(texts ...string) (out []netip.AddrPort) {
		for _, s := range texts {
			out = append(out, netip.MustParseAddrPort(s))
		}
		return out
	}
	at := func(s string) caller { return caller{addr: netip.MustParseAddr(s)} }
	for _, tt := range []struct {
		name string
		c    caller
		port uint16
		own  []netip.AddrPort
		want []netip.AddrPort
	}{
		{"added last", at("192.0.2.1"), 7, eps("10.0.0.1:7"), eps("10.0.0.1:7", "192.0.2.1:7")},
		{"known already", at("192.0.2.1"), 7, eps("192.0.2.1:7", "10.0.0.1:7"), eps("192.0.2.1:7", "10.0.0.1:7")},
		{"no port", at("192.0.2.1"), 0, eps("10.0.0.1:7"), eps("10.0.0.1:7")},
		{"unknown caller", caller{}, 7, nil, nil},
		{"caller in a pool", at("100.64.0.9"), 7, nil, nil},
		{"own in a pool, and twice", at("192.0.2.1"), 7, eps("100.64.0.9:7", "10.0.0.1:7", "10.0.0.1:7"), eps("10.0.0.1:7", "192.0.2.1:7")},
		{"IPv6 link-local", at("fe80::1"), 7, nil, nil},
		{"IPv6", at("2001:db8::1"), 7, nil, eps("[2001:db8::1]:7")},
	} {
		if got := withObserved(tt.c, tt.port, tt.own, pools); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestUsedChallengesAreForgottenInTime(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	p := newProver(make([]byte, 32), func() time.Time { return now })
	for range 1000 {
		n, err := control.NewNonce(now)
		if err != nil {
			t.Fatal(err)
		}
		if !p.use(n, now) || p.use(n, now) {
			t.Fatal("a nonce is not used once")
		}
	}
	now = now.Add(3 * control.ChallengeLife)
	n, _ := control.NewNonce(now)
	p.use(n, now)
	if len(p.used) != 1 {
		t.Errorf("%d used challenges are remembered", len(p.used))
	}
}

func FuzzParseHave(f *testing.F) {
	f.Add("epoch:12")
	f.Fuzz(func(t *testing.T, s string) {
		v, err := parseHave(s)
		if err == nil && s != "" && (v.Epoch == "" || !strings.HasPrefix(s, v.Epoch+":")) {
			t.Fatalf("parseHave(%q) = %v", s, v)
		}
	})
}
