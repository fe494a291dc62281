package filter_test

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"

	"golang.zx2c4.com/wireguard/tun"

	"nexd/tunnel/filter"
)

// udp is a packet with a UDP datagram of size bytes that begins with kind.
func udp(dst string, port uint16, kind byte, size int) []byte {
	b := packet(dst)
	b = append(b, make([]byte, 8+size)...)
	p, at := b[offset:], 20
	if p[0]>>4 == 4 {
		p[9] = 17
		binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	} else {
		p[6], at = 17, 40
		binary.BigEndian.PutUint16(p[4:], uint16(len(p)-40))
	}
	binary.BigEndian.PutUint16(p[at+2:], port)
	binary.BigEndian.PutUint16(p[at+4:], uint16(8+size))
	p[at+8] = kind
	return b
}

// source returns the packets that it holds, all at once, and then one without a wrapped message.
type source struct {
	tun.Device
	packets [][]byte
	reads   int
}

func (s *source) Read(bufs [][]byte, sizes []int, off int) (int, error) {
	s.reads++
	if s.reads > 1 {
		s.packets = [][]byte{udp("10.9.0.9", 1, 4, 40)}
	}
	for i, p := range s.packets {
		sizes[i] = copy(bufs[i][off:], p[offset:])
	}
	return len(s.packets), nil
}

// The mesh does not carry itself: a node in a container behind one router does not find a "direct"
// path to a node behind another router by way of both routers.
func TestNoWireGuardInsideTheMesh(t *testing.T) {
	ends := []netip.AddrPort{netip.MustParseAddrPort("172.24.0.10:51820"), netip.MustParseAddrPort("[fd00:24::10]:51820")}
	wrapped := [][]byte{
		udp("172.24.0.10", 51820, 1, 148), udp("172.24.0.10", 51820, 2, 92), udp("172.24.0.10", 51820, 4, 32), udp("172.24.0.10", 51820, 4, 1300),
		udp("fd00:24::10", 51820, 1, 148), udp("fd00:24::10", 51820, 4, 80),
	}
	other := [][]byte{
		udp("172.24.0.10", 51821, 1, 148),            // another port: somebody's own WireGuard
		udp("172.24.0.11", 51820, 4, 80),             // another address
		udp("172.24.0.10", 51820, 'd', 80),           // not WireGuard's
		udp("172.24.0.10", 51820, 1, 100),            // not of an initiation's length
		udp("fd00:24::11", 51820, 1, 148),            //
		packet("172.24.0.10"), packet("fd00:24::10"), // not UDP
		udp("172.24.0.10", 51820, 4, 80)[:offset+20+3], // too short for ports, which Destination refuses below
	}
	t.Run("in", func(t *testing.T) {
		inner := &fakeTUN{}
		f := filter.New(inner, nil)
		f.Set(prefixes("172.24.0.0/24", "fd00:24::/64"))
		f.SetEndpoints(ends)
		if n, err := f.Write(slices.Concat(wrapped, other), offset); n != len(wrapped)+len(other) || err != nil {
			t.Fatal(n, err)
		}
		if len(inner.got) != len(other)-1 || f.Nested() != uint64(len(wrapped)) {
			t.Errorf("passed %v; %d are counted as nested", inner.got, f.Nested())
		}
		f.SetEndpoints(nil)
		if f.Write(wrapped, offset); len(inner.got) != len(other)-1+len(wrapped) {
			t.Error("nothing is nested anymore, but packets are dropped")
		}
	})
	t.Run("out", func(t *testing.T) {
		for name, tt := range map[string]struct {
			packets [][]byte
			reads   int
		}{
			"mixed":        {slices.Concat(wrapped[:3], other, wrapped[3:]), 1},
			"only wrapped": {wrapped, 2},
			"none":         {other, 1},
		} {
			src := &source{packets: tt.packets}
			f := filter.New(src, nil)
			f.SetEndpoints(ends)
			bufs, sizes := make([][]byte, 32), make([]int, 32)
			for i := range bufs {
				bufs[i] = make([]byte, 2000)
			}
			n, err := f.Read(bufs, sizes, offset)
			want := other
			if tt.reads == 2 {
				want = src.packets
			}
			if err != nil || n != len(want) || src.reads != tt.reads {
				t.Fatalf("%s: Read = %d, %v after %d reads", name, n, err, src.reads)
			}
			for i, w := range want {
				if !slices.Equal(bufs[i][offset:offset+sizes[i]], w[offset:]) {
					t.Errorf("%s: packet %d changed", name, i)
				}
			}
		}
	})
}

func TestNestedDoesNotAllocate(t *testing.T) {
	f := filter.New(discard{}, nil)
	f.Set(prefixes("10.0.0.0/24"))
	f.SetEndpoints([]netip.AddrPort{netip.MustParseAddrPort("10.0.0.1:51820")})
	bufs := [][]byte{udp("10.0.0.1", 51820, 1, 100), udp("10.0.0.1", 53, 1, 148), udp("10.0.0.2", 51820, 1, 148), packet("10.0.0.1")} // all pass
	f.Write(bufs, offset)
	if n := testing.AllocsPerRun(100, func() { f.Write(bufs, offset) }); n > 0 {
		t.Errorf("%v allocations per Write", n)
	}
}
