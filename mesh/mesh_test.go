package mesh_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"nexd/mesh"
)

func TestKeyTextRoundTrip(t *testing.T) {
	priv, err := mesh.NewPrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	pub := priv.Public()
	got, err := mesh.ParseKey(pub.String())
	if err != nil || got != pub {
		t.Fatalf("ParseKey(%v) = %v, %v", pub, got, err)
	}
	again, err := mesh.ParsePrivateKey(priv.Text())
	if err != nil || !again.Equal(priv) || again.Public() != pub {
		t.Fatalf("private key did not survive its text form: %v", err)
	}
	if s := fmt.Sprintf("%v %+v %#v %s", priv, priv, priv, priv); strings.Contains(s, priv.Text()) {
		t.Fatalf("formatting shows the private key: %s", s)
	}
}

// RFC 7748 section 6.1.
func TestPublicKeyVector(t *testing.T) {
	alice, err := mesh.ParsePrivateKey("dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=")
	if err != nil {
		t.Fatal(err)
	}
	const want = "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo="
	if got := alice.Public().String(); got != want {
		t.Errorf("public key = %s, want %s", got, want)
	}
}

func TestParseKeyRefuses(t *testing.T) {
	for _, s := range []string{
		"", "x", "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo", // no padding
		"hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTm==",   // 31 bytes
		"hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmp=",   // trailing bits
		"hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=\n", // newline
	} {
		if _, err := mesh.ParseKey(s); mesh.KindOf(err) != mesh.Invalid {
			t.Errorf("ParseKey(%q) = %v, want an Invalid error", s, err)
		}
	}
}

func TestLowOrderPointIsAnError(t *testing.T) {
	priv, _ := mesh.NewPrivateKey()
	for _, low := range []mesh.Key{{}, {1}} {
		if _, err := priv.SharedSecret(low); mesh.KindOf(err) != mesh.Invalid {
			t.Errorf("SharedSecret(%v) = %v, want Invalid", low, err)
		}
	}
}

func TestParseAdvertisement(t *testing.T) {
	for _, tt := range []struct{ in, want, err string }{
		{"172.24.0.0/24", "172.24.0.0/24", ""},
		{"10.201.0.0/24=172.17.0.0/24", "10.201.0.0/24=172.17.0.0/24", ""},
		{"fd00:1::/64=fd00:2::/64", "fd00:1::/64=fd00:2::/64", ""},
		{"172.24.0.1/24", "", "did you mean 172.24.0.0/24"},
		{"172.24.0.1", "", "write 172.24.0.1/32"},
		{"172.24.0.0/24=10.0.0.0/25", "", "differ in size"},
		{"172.24.0.0/24=fd00::/24", "", "differ in size"},
		{"::ffff:10.0.0.0/104", "", "IPv4-mapped"},
		{"container", "", "ADDRESS/LENGTH"},
		{"10.0.0.0/33", "", "ADDRESS/LENGTH"},
		{"", "", "ADDRESS/LENGTH"},
		{"172.24.0.0/24=", "", "ADDRESS/LENGTH"},
	} {
		got, err := mesh.ParseAdvertisement(tt.in)
		switch {
		case tt.err == "" && (err != nil || got.String() != tt.want):
			t.Errorf("ParseAdvertisement(%q) = %v, %v; want %s", tt.in, got, err, tt.want)
		case tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)):
			t.Errorf("ParseAdvertisement(%q) error = %v, want one with %q", tt.in, err, tt.err)
		}
	}
}

func FuzzParseAdvertisement(f *testing.F) {
	f.Add("10.201.0.0/24=172.17.0.0/24")
	f.Add("fd00::/48")
	f.Fuzz(func(t *testing.T, s string) {
		a, err := mesh.ParseAdvertisement(s)
		if err != nil {
			return
		}
		b, err := mesh.ParseAdvertisement(a.String())
		if err != nil || a != b {
			t.Fatalf("%q parsed to %v, which reads back as %v, %v", s, a, b, err)
		}
		first := a.Prefix.Addr()
		l, ok := a.ToLocal(first)
		if !ok || l != a.Local.Addr() {
			t.Fatalf("%v: first address maps to %v, %v", a, l, ok)
		}
	})
}

func ExampleAdvertisement_ToLocal() {
	a, _ := mesh.ParseAdvertisement("10.201.32.0/20=172.17.16.0/20")
	in, _ := a.ToLocal(netip.MustParseAddr("10.201.37.9"))
	out, _ := a.FromLocal(in)
	_, ok := a.ToLocal(netip.MustParseAddr("10.202.0.1"))
	fmt.Println(in, out, ok)
	// Output: 172.17.21.9 10.201.37.9 false
}

func TestKindsSurviveWrappingAndTheWire(t *testing.T) {
	err := fmt.Errorf("outer: %w", mesh.Errorf(mesh.Exhausted, "ipam: no free address in %v", "10.0.0.0/30"))
	if mesh.KindOf(err) != mesh.Exhausted {
		t.Errorf("KindOf = %v", mesh.KindOf(err))
	}
	if k := mesh.KindOf(errors.New("foreign")); k != mesh.Internal {
		t.Errorf("foreign error is %v", k)
	}
	for k := mesh.Internal; k <= mesh.Unavailable; k++ {
		if got := mesh.ParseKind(k.String()); got != k {
			t.Errorf("ParseKind(%q) = %v", k, got)
		}
	}
	if mesh.ParseKind("shiny") != mesh.Internal || mesh.Kind(200).String() != "internal" {
		t.Error("an unknown kind is not Internal")
	}
}

func TestNodeName(t *testing.T) {
	for spelt, want := range map[string]string{
		"node1": "node1", "NODE1.nexd.internal.": "node1", "node1.": "node1", "": "", "node1.example.com": "node1.example.com",
	} {
		if got := mesh.NodeName(spelt); got != want {
			t.Errorf("NodeName(%q) = %q, want %q", spelt, got, want)
		}
	}
}

func TestVersionReplaces(t *testing.T) {
	at := func(e string, r uint64) mesh.Version { return mesh.Version{Epoch: e, Rev: r} }
	for _, tt := range []struct {
		v, old mesh.Version
		want   bool
	}{
		{at("a", 2), at("a", 1), true}, {at("a", 1), at("a", 1), false},
		{at("a", 1), at("a", 2), false}, {at("b", 1), at("a", 9), true},
	} {
		if got := tt.v.Replaces(tt.old); got != tt.want {
			t.Errorf("%v replaces %v = %v", tt.v, tt.old, got)
		}
	}
}
