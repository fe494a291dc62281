package tunnel

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"runtime"
	"testing"

	"golang.zx2c4.com/wireguard/conn"

	"nexd/mesh"
)

// peerBind is a bind on which nothing comes or goes.
type peerBind struct{ keyBind }

func (peerBind) OnInitiation(func(mesh.Key) bool) {}
func (peerBind) Forget(mesh.Key)                  {}

// lazyTunnel has n peers, with an address each.
func lazyTunnel(tb testing.TB, n int) *Tunnel {
	tb.Helper()
	priv, err := mesh.NewPrivateKey()
	if err != nil {
		tb.Fatal(err)
	}
	t, err := New(Config{PrivateKey: priv, Device: newNullTUN(), Bind: peerBind{keyBind{conn.NewStdNetBind()}}})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(t.Close)
	peers := make([]Peer, n)
	for i := range peers {
		peers[i] = Peer{Key: mesh.Key{1, byte(i >> 8), byte(i), 31: 1}, AllowedIPs: []netip.Prefix{netip.PrefixFrom(addrOf(i), 32)}}
	}
	if err := t.SetPeers(peers); err != nil {
		tb.Fatal(err)
	}
	return t
}

func addrOf(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}) }

// batch are packets to the nodes given.
func batch(to ...int) (bufs [][]byte, sizes []int) {
	for _, i := range to {
		p := make([]byte, 16+1420)
		p[16] = 0x45
		binary.BigEndian.PutUint16(p[18:], 1420)
		a := addrOf(i).As4()
		copy(p[32:], a[:])
		bufs, sizes = append(bufs, p), append(sizes, 1420)
	}
	return bufs, sizes
}

func TestWakingDestinationsAllocatesNothing(t *testing.T) {
	tn := lazyTunnel(t, 100)
	bufs, sizes := batch(1, 2, 2, 3, 1)
	tn.wakeDestinations(bufs, sizes, 16)
	if n := tn.InDevice(); n != 3 {
		t.Fatalf("%d peers in the device, want 3", n)
	}
	if n := testing.AllocsPerRun(100, func() { tn.wakeDestinations(bufs, sizes, 16) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestNonsenseWakesNobody(t *testing.T) {
	tn := lazyTunnel(t, 1)
	for _, p := range [][]byte{nil, {0x45}, {0x65, 1}, make([]byte, 40), append([]byte{0x45}, make([]byte, 18)...), append([]byte{0x60}, make([]byte, 38)...)} {
		tn.wakeDestinations([][]byte{p}, []int{len(p)}, 0)
	}
	if n := tn.InDevice(); n != 0 {
		t.Errorf("%d peers", n)
	}
}

func BenchmarkOnDemand(b *testing.B) {
	one, many := make([]int, 32), make([]int, 32)
	for i := range many {
		many[i] = i * 311
	}
	for _, tt := range []struct {
		name string
		to   []int
	}{{"one", one}, {"many", many}} {
		b.Run("32 packets to "+tt.name+" of 10000", func(b *testing.B) {
			tn := lazyTunnel(b, 10_000)
			bufs, sizes := batch(tt.to...)
			b.ReportAllocs()
			for b.Loop() {
				tn.wakeDestinations(bufs, sizes, 16)
			}
		})
	}
}

// BenchmarkWake is what a peer costs that is needed, in time and memory.
func BenchmarkWake(b *testing.B) {
	const n = 2000
	tn := lazyTunnel(b, n)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := 0; b.Loop(); i++ {
		if i < n {
			bufs, sizes := batch(i)
			tn.wakeDestinations(bufs, sizes, 16)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	in := float64(tn.InDevice())
	b.ReportMetric(float64(after.HeapAlloc+after.StackInuse-before.HeapAlloc-before.StackInuse)/in/1024, "KiB/peer")
}

func BenchmarkSetPeers(b *testing.B) {
	for _, n := range []int{100, 1000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			tn := lazyTunnel(b, n)
			peers := make([]Peer, n)
			for i := range peers {
				peers[i] = Peer{Key: mesh.Key{1, byte(i >> 8), byte(i), 31: 1}, AllowedIPs: []netip.Prefix{netip.PrefixFrom(addrOf(i), 32)}}
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				peers[i%n].AllowedIPs = []netip.Prefix{netip.PrefixFrom(addrOf(i%n), 32), netip.PrefixFrom(netip.AddrFrom4([4]byte{11, byte(i >> 16), byte(i >> 8), byte(i)}), 32)}
				if err := tn.SetPeers(peers); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
