package tunnel_test

import (
	"bytes"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"nexd/internal/eventually"
	"nexd/internal/leak"
)

// Bulk both ways, with packets of all sizes: what arrives is what was sent, in
// order, since nothing on loopback reorders.
func TestBulkArrivesWholeAndInOrder(t *testing.T) {
	leak.Check(t)
	a, b := newNode(t, 1), newNode(t, 2)
	introduce(a, b)
	mustTalk(a, b, soon)
	var all sync.WaitGroup
	for _, way := range [][2]*node{{a, b}, {b, a}} {
		all.Go(func() { bulk(t, way[0], way[1], 200, 40) })
	}
	all.Wait()
}

// bulk sends windows of packets from one node to another, each checked before the
// next, so that no socket buffer overflows.
func bulk(t *testing.T, from, to *node, windows, window int) {
	size := func(seq uint32) int {
		if seq%97 == 0 {
			return 30 + int(seq%1000)
		}
		return 1400
	}
	for w := range windows {
		for i := range window {
			seq := uint32(1_000_000 + w*window + i)
			from.tun.out <- packet(from.v4, to.v4, seq, size(seq))
		}
		for i := range window {
			seq := uint32(1_000_000 + w*window + i)
			select {
			case p := <-to.tun.in:
				if !bytes.Equal(p, packet(from.v4, to.v4, seq, size(seq))) {
					t.Errorf("%s to %s: packet %d came as %d", from.name, to.name, seq, seqOf(p))
					return
				}
			case <-time.After(soon):
				t.Errorf("%s to %s: packet %d did not come", from.name, to.name, seq)
				return
			}
		}
	}
}

// Everything at once, for the race detector.
func TestStateChangesUnderTraffic(t *testing.T) {
	leak.Check(t)
	a, b, c := newNode(t, 1), newNode(t, 2), newNode(t, 3)
	introduce(a, b)
	mustTalk(a, b, soon)
	stop := make(chan struct{})
	var all sync.WaitGroup
	var rounds atomic.Int64
	repeat := func(do func(i int)) {
		all.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				case <-time.After(time.Millisecond):
					do(i)
					rounds.Add(1)
				}
			}
		})
	}
	for _, n := range []*node{a, b} {
		repeat(func(int) { // drain
			for len(n.tun.in) > 0 {
				<-n.tun.in
			}
		})
	}
	repeat(func(i int) { a.tun.out <- packet(a.v4, b.v4, uint32(i), 1000) })
	repeat(func(i int) { b.tun.out <- packet(b.v4, a.v4, uint32(i), 100) })
	repeat(func(i int) {
		peers := map[*node][]netip.AddrPort{b: {b.at("127.0.0.1")}}
		if i%2 == 0 {
			peers[c] = []netip.AddrPort{c.at("::1")}
		}
		a.know(peers)
	})
	repeat(func(int) { a.tunl.Initiate(b.key, c.key); b.tunl.Initiate(a.key) })
	repeat(func(int) {
		a.bind.Path(b.key)
		a.bind.Stats()
		a.filt.Stats()
		if _, err := b.tunl.Peers(); err != nil {
			t.Error(err)
		}
	})
	eventually.True(t, "some rounds of everything", func() bool { return rounds.Load() > 1000 })
	close(stop)
	all.Wait()
	a.know(map[*node][]netip.AddrPort{b: {b.at("127.0.0.1")}})
	mustTalk(a, b, soon)
}

func TestCloseEndsEverythingQuickly(t *testing.T) {
	leak.Check(t)
	a, b := newNode(t, 1), newNode(t, 2)
	introduce(a, b)
	mustTalk(a, b, soon)
	for range 200 { // something in every queue
		a.send(b)
	}
	began := time.Now()
	a.tunl.Close()
	if d := time.Since(began); d > 10*time.Second { // some 10 ms, but on a busy machine
		t.Errorf("Close took %v", d)
	}
	a.tunl.Close()
	select {
	case <-a.tunl.Done():
	default:
		t.Error("not done after Close")
	}
	a.tunl.Initiate(b.key) // after Close: nothing
	if err := a.bind.Shutdown(); err != nil {
		t.Error(err)
	}
}

func BenchmarkTunnel(b *testing.B) {
	x, y := newNode(b, 1), newNode(b, 2)
	introduce(x, y)
	mustTalk(x, y, soon)
	p := packet(x.v4, y.v4, 1, 1400)
	b.SetBytes(40 * 1420)
	b.ReportAllocs()
	for b.Loop() {
		for range 40 {
			x.tun.out <- p
		}
		for range 40 {
			<-y.tun.in
		}
	}
}
