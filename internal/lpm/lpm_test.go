package lpm

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

func entries(ss ...string) (out []Entry[string]) {
	for _, s := range ss {
		out = append(out, Entry[string]{netip.MustParsePrefix(s), s})
	}
	return out
}

func TestLookup(t *testing.T) {
	table := New(entries("10.0.0.0/8", "10.1.0.0/16", "10.1.2.3/32", "10.255.0.0/16", "255.255.255.255/32", "172.16.0.0/30", "fd00::/8", "fd00::1/128", "ffff::/16"))
	for addr, want := range map[string]string{
		"9.255.255.255": "", "10.0.0.0": "10.0.0.0/8", "10.1.0.0": "10.1.0.0/16", "10.1.2.3": "10.1.2.3/32", "10.1.2.4": "10.1.0.0/16",
		"10.2.0.0": "10.0.0.0/8", "10.255.255.255": "10.255.0.0/16", "11.0.0.0": "", "255.255.255.255": "255.255.255.255/32", "255.255.255.254": "",
		"172.16.0.3": "172.16.0.0/30", "172.16.0.4": "", "fd00::": "fd00::/8", "fd00::1": "fd00::1/128", "fd00::2": "fd00::/8", "fe00::": "",
		"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff": "ffff::/16", "::ffff:10.0.0.1": "",
	} {
		got, ok := table.Lookup(netip.MustParseAddr(addr))
		if got != want || ok != (want != "") {
			t.Errorf("%s: %q, %v; want %q", addr, got, ok, want)
		}
	}
	if _, ok := table.LookupIP([]byte{1}); ok {
		t.Error("one byte was found")
	}
	if _, ok := new(Table[int]).Lookup(netip.Addr{}); ok {
		t.Error("the empty table holds nothing")
	}
}

// TestLikeTheObvious compares with a search through all prefixes.
func TestLikeTheObvious(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	random := func(six bool) netip.Addr {
		if six {
			return netip.AddrFrom16([16]byte{0: 0xfd, 15: byte(r.IntN(256)), 14: byte(r.IntN(2)), 1: byte(r.IntN(2))})
		}
		return netip.AddrFrom4([4]byte{byte(254 + r.IntN(2)), byte(254 + r.IntN(2)), byte(r.IntN(2)), byte(r.IntN(256))})
	}
	for range 300 {
		var es []Entry[int]
		for i := range r.IntN(12) {
			a := random(r.IntN(2) == 0)
			es = append(es, Entry[int]{netip.PrefixFrom(a, r.IntN(a.BitLen()+1)), i})
		}
		table := New(es)
		for range 200 {
			a := random(r.IntN(2) == 0)
			best := -1
			for i, e := range es {
				if e.Prefix.Contains(a) && (best < 0 || e.Prefix.Bits() >= es[best].Prefix.Bits()) {
					best = i
				}
			}
			got, ok := table.Lookup(a)
			if ok != (best >= 0) || ok && got != best {
				t.Fatalf("%v in %v: %d, %v; want %d", a, es, got, ok, best)
			}
			p := netip.PrefixFrom(a, r.IntN(a.BitLen()+1))
			if got, want := table.Overlaps(p), slices.ContainsFunc(es, func(e Entry[int]) bool { return e.Prefix.Overlaps(p) }); got != want {
				t.Fatalf("%v overlaps %v: %v", p, es, got)
			}
		}
		inside := map[int]bool{}
		Nested(es, func(inner, outer int) {
			inside[inner] = true
			if o := es[outer].Prefix; o.Bits() > es[inner].Prefix.Bits() || !o.Overlaps(es[inner].Prefix) {
				t.Fatalf("%v is not inside %v", es[inner].Prefix, o)
			}
		})
		for i, e := range es {
			want := slices.ContainsFunc(es, func(o Entry[int]) bool {
				return o != e && e.Prefix.Overlaps(o.Prefix) && (o.Prefix.Bits() < e.Prefix.Bits() || o.Prefix.Bits() == e.Prefix.Bits() && o.Value < e.Value)
			})
			if inside[i] != want {
				t.Fatalf("%v of %v: inside another %v", e, es, inside[i])
			}
		}
	}
}

func TestLookupAllocatesNothing(t *testing.T) {
	table := many(1000)
	ip := []byte{10, 0, 3, 7}
	if n := testing.AllocsPerRun(100, func() { table.LookupIP(ip) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func many(n int) *Table[int] {
	var es []Entry[int]
	for i := range n {
		es = append(es, Entry[int]{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32), i})
	}
	return New(es)
}

func BenchmarkLookup(b *testing.B) {
	for _, n := range []int{10, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			table := many(n)
			ip := []byte{10, 0, 0, 0}
			for i := 0; b.Loop(); i++ {
				ip[3], ip[2] = byte(i*31), byte(i)
				table.LookupIP(ip)
			}
		})
	}
}

func TestSet(t *testing.T) {
	s := SetOf([]netip.Prefix{netip.MustParsePrefix("192.0.2.0/25"), netip.MustParsePrefix("2001:db8::/64")})
	for text, in := range map[string]bool{"192.0.2.127": true, "192.0.2.128": false, "2001:db8::1": true, "2001:db8:0:1::": false} {
		if s.Has(netip.MustParseAddr(text)) != in {
			t.Errorf("%s: %v", text, !in)
		}
	}
}

func TestLast(t *testing.T) {
	for prefix, want := range map[string]string{"10.0.0.0/8": "10.255.255.255", "192.0.2.77/25": "192.0.2.127", "192.0.2.1/32": "192.0.2.1", "2001:db8::/33": "2001:db8:7fff:ffff:ffff:ffff:ffff:ffff"} {
		if got := Last(netip.MustParsePrefix(prefix)); got != netip.MustParseAddr(want) {
			t.Errorf("%s: %v", prefix, got)
		}
	}
}
