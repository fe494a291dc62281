package ipam_test

import (
	"net/netip"
	"strings"
	"testing"

	"nexd/ipam"
	"nexd/mesh"
)

var (
	pool6 = netip.MustParsePrefix("fd12:3456:789a::/48")
	pools = []netip.Prefix{ipam.Pool4, pool6}
)

func TestCheck(t *testing.T) {
	for _, tt := range []struct{ prefix, why string }{
		{"172.24.0.0/24", ""},
		{"10.0.0.0/8", ""},
		{"192.168.1.7/32", ""},
		{"203.0.113.0/24", ""},
		{"fd00:1::/64", ""},
		{"2001:db8::/32", ""},
		{"2001:db8::1/128", ""},

		{"172.24.0.1/24", "host bits set; did you mean 172.24.0.0/24?"},
		{"0.0.0.0/0", "default route"},
		{"::/0", "default route"},
		{"0.0.0.0/1", "too large: /8"},
		{"128.0.0.0/1", "too large: /8"},
		{"64.0.0.0/7", "too large: /8"},
		{"::/1", "too large: /16"},
		{"2000::/3", "too large: /16"},
		{"127.0.0.0/8", "loopback"},
		{"127.0.0.1/32", "loopback"},
		{"::1/128", "loopback"},
		{"::/128", "unspecified"},
		{"0.0.0.0/32", "unspecified"},
		{"0.0.0.0/8", "unspecified"},
		{"169.254.0.0/16", "link-local"},
		{"169.254.169.254/32", "link-local"},
		{"fe80::/10", "link-local"},
		{"fe80::1/128", "link-local"},
		{"224.0.0.0/4", "multicast"},
		{"239.1.2.3/32", "multicast"},
		{"ff02::/16", "multicast"},
		{"ff00::/8", "multicast"},
		{"240.0.0.0/4", "broadcast"},
		{"255.255.255.255/32", "broadcast"},
		{"::ffff:10.0.0.0/104", "IPv4-mapped"},
		{"::ffff:0.0.0.0/96", "IPv4-mapped"},
		{"2002:a00::/24", "6to4"},
		{"::/16", "contains ::/96"},
		{"fe80::/9", "too large"},
		{"100.64.0.0/10", "nodes get their own addresses"},
		{"100.64.0.0/24", "nodes get their own addresses"},
		{"100.0.0.0/8", "nodes get their own addresses"},
		{"fd12:3456:789a:1::/64", "nodes get their own addresses"},
		{"fd12:3456::/32", "nodes get their own addresses"},
	} {
		err := ipam.Check(netip.MustParsePrefix(tt.prefix), pools...)
		switch {
		case tt.why == "" && err != nil:
			t.Errorf("Check(%s) = %v", tt.prefix, err)
		case tt.why != "" && (err == nil || mesh.KindOf(err) != mesh.Invalid || !strings.Contains(err.Error(), tt.why)):
			t.Errorf("Check(%s) = %v, want an Invalid error with %q", tt.prefix, err, tt.why)
		case tt.why != "" && !strings.Contains(err.Error(), tt.prefix):
			t.Errorf("Check(%s) = %v, which does not name the prefix", tt.prefix, err)
		}
	}
	if err := ipam.Check(netip.Prefix{}); mesh.KindOf(err) != mesh.Invalid {
		t.Errorf("Check of no prefix = %v", err)
	}
}

func FuzzCheck(f *testing.F) {
	for _, s := range []string{"172.24.0.0/24", "0.0.0.0/1", "::ffff:1.2.3.4/120", "fe80::/64", "2001:db8::/33", "255.0.0.0/8"} {
		p := netip.MustParsePrefix(s)
		f.Add(p.Addr().AsSlice(), p.Bits())
	}
	f.Fuzz(func(t *testing.T, b []byte, bits int) {
		addr, ok := netip.AddrFromSlice(b)
		if !ok || bits < 0 || bits > addr.BitLen() {
			return
		}
		p := netip.PrefixFrom(addr, bits)
		if ipam.Check(p, pools...) != nil {
			return
		}
		first, last := ipam.Range(p)
		if first != p.Addr() || !p.Contains(last) || last.Next().IsValid() && p.Contains(last.Next()) {
			t.Fatalf("%v runs from %v to %v", p, first, last)
		}
		for _, a := range []netip.Addr{first, last} {
			bad := a.IsUnspecified() || a.IsLoopback() || a.IsMulticast() || a.IsLinkLocalUnicast() || a.Is4In6() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255})
			if bad || ipam.Pool4.Contains(a) || pool6.Contains(a) {
				t.Fatalf("Check allows %v, which has %v", p, a)
			}
		}
	})
}

func TestPools(t *testing.T) {
	p, err := ipam.NewPool6(strings.NewReader("12345"))
	if err != nil || p.String() != "fd31:3233:3435::/48" {
		t.Errorf("NewPool6 = %v, %v", p, err)
	}
	if _, err := ipam.NewPool6(strings.NewReader("1")); err == nil {
		t.Error("NewPool6 is content with one byte of randomness")
	}
}
