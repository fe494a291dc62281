package filter_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"sync"
	"testing"

	"golang.zx2c4.com/wireguard/tun"

	"nexd/tunnel/filter"
)

const offset = 16 // where WireGuard puts the packet in its buffers

// fakeTUN keeps the destinations of what is written to it.
type fakeTUN struct {
	tun.Device // panics on what the filter must not call
	mu         sync.Mutex
	got        []string
	vectors    int
	err        error
}

func (f *fakeTUN) Write(bufs [][]byte, off int) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.vectors++
	if f.err != nil {
		return 0, f.err
	}
	for _, b := range bufs {
		p := b[off:]
		a, _ := netip.AddrFromSlice(p[16:20])
		if p[0]>>4 == 6 {
			a, _ = netip.AddrFromSlice(p[24:40])
		}
		f.got = append(f.got, a.String())
	}
	return len(bufs), nil
}

func (f *fakeTUN) Read(bufs [][]byte, sizes []int, off int) (int, error) {
	sizes[0] = copy(bufs[0][off:], "out")
	return 1, nil
}

func packet(dst string) []byte {
	a := netip.MustParseAddr(dst)
	if a.Is4() {
		b := make([]byte, offset+20)
		p := b[offset:]
		p[0] = 0x45
		binary.BigEndian.PutUint16(p[2:], 20)
		copy(p[16:], a.AsSlice())
		return b
	}
	b := make([]byte, offset+40)
	b[offset] = 0x60
	copy(b[offset+24:], a.AsSlice())
	return b
}

func prefixes(ss ...string) (out []netip.Prefix) {
	for _, s := range ss {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func TestOnlyOwnDestinationsPass(t *testing.T) {
	inner := &fakeTUN{}
	f := filter.New(inner, nil)
	f.Set(prefixes("100.64.0.1/32", "fd00::1/128", "172.24.0.0/24", "172.24.0.128/25", "fd01:2::/48", "10.9.0.0/31"))
	bufs := [][]byte{
		packet("100.64.0.2"), packet("100.64.0.1"), packet("172.24.0.0"), packet("172.24.0.200"), packet("172.24.0.255"),
		packet("172.24.1.0"), packet("172.23.255.255"), packet("fd00::1"), packet("fd00::2"), packet("fd01:2:0:ffff::9"),
		packet("fd01:3::"), packet("10.9.0.1"), packet("10.9.0.2"), packet("127.0.0.1"), packet("255.255.255.255"), packet("0.0.0.0"),
	}
	before := slices.Clone(bufs)
	n, err := f.Write(bufs, offset)
	if n != len(bufs) || err != nil {
		t.Fatalf("Write = %d, %v; want %d, nil", n, err, len(bufs))
	}
	want := []string{"100.64.0.1", "172.24.0.0", "172.24.0.200", "172.24.0.255", "fd00::1", "fd01:2:0:ffff::9", "10.9.0.1"}
	if !slices.Equal(inner.got, want) {
		t.Errorf("passed %v\nwant   %v", inner.got, want)
	}
	if inner.vectors != 1 {
		t.Errorf("the inner device was called %d times", inner.vectors)
	}
	for i := range bufs {
		if &bufs[i][0] != &before[i][0] {
			t.Fatalf("bufs[%d] was changed; WireGuard still uses it", i)
		}
	}
	if passed, dropped := f.Stats(); passed != 7 || dropped != 9 {
		t.Errorf("Stats = %d, %d", passed, dropped)
	}
}

func TestDropsAllBeforeSetAndAfterTakingBack(t *testing.T) {
	inner := &fakeTUN{}
	f := filter.New(inner, nil)
	bufs := [][]byte{packet("0.0.0.0"), packet("::")}
	for _, set := range []func(){func() {}, func() { f.Set(prefixes("0.0.0.0/0")); f.Set(nil) }, func() { f.Set([]netip.Prefix{{}}) }} {
		set()
		if n, err := f.Write(bufs, offset); n != 2 || err != nil {
			t.Fatalf("Write = %d, %v", n, err)
		}
	}
	if inner.vectors != 0 {
		t.Error("an empty vector reached the inner device")
	}
	if n, err := f.Write(nil, offset); n != 0 || err != nil {
		t.Errorf("Write(nil) = %d, %v", n, err)
	}
}

func TestDefaultRoutesAllowAFamily(t *testing.T) {
	inner := &fakeTUN{}
	f := filter.New(inner, nil)
	f.Set(prefixes("0.0.0.0/0", "::/0", "10.0.0.0/8", "fd00::/8"))
	bufs := [][]byte{packet("0.0.0.0"), packet("255.255.255.255"), packet("::"), packet("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")}
	f.Write(bufs, offset)
	if len(inner.got) != 4 {
		t.Errorf("passed %v", inner.got)
	}
}

func TestMalformedPacketsAreDropped(t *testing.T) {
	inner := &fakeTUN{}
	f := filter.New(inner, nil)
	f.Set(prefixes("0.0.0.0/0", "::/0"))
	edit := func(b []byte, do func(p []byte)) []byte { do(b[offset:]); return b }
	bad := [][]byte{
		nil, make([]byte, offset), make([]byte, offset-3),
		packet("10.0.0.1")[:offset+19], packet("fd00::1")[:offset+39],
		edit(packet("10.0.0.1"), func(p []byte) { p[0] = 0x44 }), // header shorter than a header
		edit(packet("10.0.0.1"), func(p []byte) { p[0] = 0x4f }), // longer than the packet
		edit(packet("10.0.0.1"), func(p []byte) { p[3] = 21 }),   // total length beyond the end
		edit(packet("10.0.0.1"), func(p []byte) { p[3] = 19 }),   // total length inside the header
		edit(packet("fd00::1"), func(p []byte) { p[5] = 1 }),     // payload beyond the end
		edit(packet("10.0.0.1"), func(p []byte) { p[0] = 0x55 }), // no such version
	}
	if n, err := f.Write(bad, offset); n != len(bad) || err != nil {
		t.Errorf("Write = %d, %v", n, err)
	}
	if _, dropped := f.Stats(); dropped != uint64(len(bad)) || inner.vectors != 0 {
		t.Errorf("dropped %d of %d; inner called %d times", dropped, len(bad), inner.vectors)
	}
}

func TestErrorsOfTheInnerDeviceComeThrough(t *testing.T) {
	inner := &fakeTUN{err: os.ErrClosed}
	f := filter.New(inner, nil)
	f.Set(prefixes("10.0.0.0/8"))
	for _, bufs := range [][][]byte{{packet("10.0.0.1")}, {packet("11.0.0.1"), packet("10.0.0.1")}} {
		if _, err := f.Write(bufs, offset); !errors.Is(err, os.ErrClosed) {
			t.Errorf("Write = %v", err)
		}
	}
}

func TestReadPassesThrough(t *testing.T) {
	f := filter.New(&fakeTUN{}, nil)
	buf, sizes := [][]byte{make([]byte, 64)}, make([]int, 1)
	n, err := f.Read(buf, sizes, offset)
	if n != 1 || err != nil || string(buf[0][offset:offset+sizes[0]]) != "out" {
		t.Errorf("Read = %d, %v, %q", n, err, buf[0][offset:offset+sizes[0]])
	}
}

func TestWritersAndSettersAtOnce(t *testing.T) {
	inner := &fakeTUN{}
	f := filter.New(inner, nil)
	var all sync.WaitGroup
	for w := range 4 {
		all.Go(func() {
			bufs := [][]byte{packet("10.0.0.1"), packet("11.0.0.1"), packet(fmt.Sprintf("10.0.1.%d", w))}
			for range 200 {
				if n, err := f.Write(bufs, offset); n != 3 || err != nil {
					t.Errorf("Write = %d, %v", n, err)
				}
			}
		})
		all.Go(func() {
			for i := range 200 {
				f.Set(prefixes("10.0.0.0/24", "10.0.1.0/24")[:1+i%2])
			}
		})
	}
	all.Wait()
	if passed, dropped := f.Stats(); passed+dropped != 4*200*3 || uint64(len(inner.got)) != passed {
		t.Errorf("Stats = %d + %d, inner got %d", passed, dropped, len(inner.got))
	}
}

func TestWriteDoesNotAllocate(t *testing.T) {
	f := filter.New(discard{}, nil)
	f.Set(prefixes("10.0.0.0/24", "fd00::/64", "10.2.0.0/24"))
	bufs := [][]byte{packet("10.0.0.1"), packet("11.0.0.1"), packet("fd00::7"), packet("fd00:0:0:1::7")}
	f.Write(bufs, offset)
	if n := testing.AllocsPerRun(100, func() { f.Write(bufs, offset) }); n > 0 {
		t.Errorf("%v allocations per Write", n)
	}
}

type discard struct{ tun.Device }

func (discard) Write(bufs [][]byte, _ int) (int, error) { return len(bufs), nil }

// FuzzTable compares the table with netip's own answer.
func FuzzTable(f *testing.F) {
	f.Add([]byte{10, 0, 0, 0, 8, 10, 1, 0, 0, 16}, packet("10.3.4.5")[offset:])
	f.Add([]byte{0, 0, 0, 0, 0}, packet("fd00::1")[offset:])
	f.Add([]byte{255, 255, 255, 255, 32, 128, 0, 0, 0, 1}, packet("255.255.255.255")[offset:])
	f.Fuzz(func(t *testing.T, set, p []byte) {
		var allowed []netip.Prefix
		for ; len(set) >= 5; set = set[5:] {
			allowed = append(allowed, netip.PrefixFrom(netip.AddrFrom4([4]byte(set)), int(set[4])%33))
			six := [16]byte{0: 0xfd, 1: set[0], 8: set[1], 14: set[2], 15: set[3]}
			allowed = append(allowed, netip.PrefixFrom(netip.AddrFrom16(six), int(set[4])%129))
		}
		inner := &fakeTUN{}
		flt := filter.New(inner, nil)
		flt.Set(allowed)
		buf := append(make([]byte, offset), p...)
		if n, err := flt.Write([][]byte{buf}, offset); n != 1 || err != nil {
			t.Fatalf("Write = %d, %v", n, err)
		}
		if len(inner.got) == 0 {
			if len(p) >= 20 && p[0] == 0x45 && int(p[2])<<8|int(p[3]) == len(p) {
				dst, _ := netip.AddrFromSlice(p[16:20])
				if slices.ContainsFunc(allowed, func(q netip.Prefix) bool { return q.Contains(dst) }) {
					t.Fatalf("%v was dropped, allowed are %v", dst, allowed)
				}
			}
			return
		}
		dst := netip.MustParseAddr(inner.got[0])
		if !slices.ContainsFunc(allowed, func(q netip.Prefix) bool { return q.Contains(dst) }) {
			t.Fatalf("%v passed, allowed are %v", dst, allowed)
		}
	})
}

func BenchmarkWrite(b *testing.B) {
	f := filter.New(discard{}, nil)
	f.Set(prefixes("10.0.0.0/24", "10.2.0.0/24", "172.24.0.0/16", "100.64.0.1/32"))
	bufs := make([][]byte, 128)
	for i := range bufs {
		bufs[i] = packet("172.24.0.9")
	}
	b.ReportAllocs()
	for b.Loop() {
		f.Write(bufs, offset)
	}
}

func Example() {
	inner := &fakeTUN{}
	f := filter.New(inner, nil)
	f.Set([]netip.Prefix{netip.MustParsePrefix("100.64.0.1/32"), netip.MustParsePrefix("172.24.0.0/24")})
	f.Write([][]byte{packet("172.24.0.10"), packet("192.168.1.1"), packet("100.64.0.1")}, offset)
	passed, dropped := f.Stats()
	fmt.Println(inner.got, passed, dropped)
	// Output: [172.24.0.10 100.64.0.1] 2 1
}
