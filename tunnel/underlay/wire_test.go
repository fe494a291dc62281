package underlay

import (
	"bytes"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"golang.zx2c4.com/wireguard/conn"
)

// vectors of packets that are hard in some way for runs of equal size.
func hardVectors(l *link) map[string][][]byte {
	repeat := func(n, size int) (out [][]byte) {
		for i := range n {
			out = append(out, l.data(size, byte(i)))
		}
		return out
	}
	random := rand.New(rand.NewPCG(1, 2))
	var mixed [][]byte
	for i := range 128 {
		mixed = append(mixed, l.data([]int{32, 96, 500, 1452, 1452, 1452, 1400}[random.IntN(7)], byte(i)))
	}
	return map[string][][]byte{
		"one":               repeat(1, 1452),
		"one small":         repeat(1, 32),
		"one huge":          repeat(1, 60000),
		"full run":          repeat(45, 1452),
		"two runs":          repeat(128, 1452),
		"run and a tail":    append(repeat(20, 1452), l.data(700, 9)),
		"tail in between":   append(append(repeat(20, 1452), l.data(700, 9)), repeat(20, 1452)...),
		"growing":           append(repeat(5, 96), repeat(5, 1452)...),
		"shrinking":         append(repeat(30, 1452), repeat(30, 96)...),
		"acknowledgements":  repeat(100, 96),
		"another size":      repeat(64, 1312),
		"larger size":       repeat(10, 4000),
		"mixed":             mixed,
		"more than a batch": repeat(200, 300),
	}
}

// exchange sends a vector and receives until as many packets have come.
func (l *link) exchange(t *testing.T, v vector, msgs [][]byte) (got [][]byte) {
	t.Helper()
	if err := l.from.Send(msgs, l.ep); err != nil {
		t.Fatalf("Send: %v", err)
	}
	for len(got) < len(msgs) {
		n, err := l.fn(v.bufs, v.sizes, v.eps)
		if err != nil {
			t.Fatalf("receive: %v", err)
		}
		for i := range n {
			if v.sizes[i] == 0 {
				continue
			}
			if e, ok := v.eps[i].(*endpoint); !ok || e.key != l.from.key || e.addr.Port() != l.from.LocalPort() {
				t.Fatalf("endpoint %v", v.eps[i])
			}
			got = append(got, bytes.Clone(v.bufs[i][:v.sizes[i]]))
		}
	}
	return got
}

// Every way to send gives the same packets in the same order in every way to
// receive, whatever was sent before.
func TestTheSamePacketsArriveWithAndWithoutOffload(t *testing.T) {
	for name, open := range offloads() {
		for _, ip := range []string{"127.0.0.1", "::1"} {
			for _, slots := range []int{128, 64, 17, 1} {
				t.Run(fmt.Sprintf("%s/%s/%d", name, ip, slots), func(t *testing.T) {
					l := newLink(t, open, ip)
					v := newVector(slots)
					for round := range 3 {
						for what, msgs := range hardVectors(l) {
							got := l.exchange(t, v, msgs)
							for i := range msgs {
								if !bytes.Equal(got[i], msgs[i]) {
									t.Fatalf("round %d, %s: packet %d of %d differs: %d bytes instead of %d", round, what, i, len(msgs), len(got[i]), len(msgs[i]))
								}
							}
						}
					}
				})
			}
		}
	}
}

func TestSendAndReceiveDoNotAllocate(t *testing.T) {
	for name, open := range kinds {
		t.Run(name, func(t *testing.T) {
			l := newLink(t, open, "127.0.0.1")
			v := newVector(batchSize)
			var msgs [][]byte
			for i := range 40 {
				msgs = append(msgs, l.data(1452, byte(i)))
			}
			l.exchange(t, v, msgs)
			allocs := testing.AllocsPerRun(50, func() {
				if err := l.from.Send(msgs, l.ep); err != nil {
					t.Fatal(err)
				}
				receive(t, l.fn, v, len(msgs))
			})
			if allocs > 1 { // a pool may be emptied by the collector in between
				t.Errorf("%v allocations for %d packets there and back", allocs, len(msgs))
			}
		})
	}
}

// Errors for one packet do not stop the others.
func TestASendErrorConcernsItsPacketOnly(t *testing.T) {
	for name, open := range kinds {
		t.Run(name, func(t *testing.T) {
			l := newLink(t, open, "127.0.0.1")
			msgs := [][]byte{l.data(100, 1), make([]byte, 65530), l.data(200, 2)} // the second is larger than a datagram
			if err := l.from.Send(msgs, l.ep); err == nil {
				t.Error("no error for a packet that is too large")
			}
			v, got := newVector(batchSize), []int(nil)
			for len(got) < 2 {
				n, err := l.fn(v.bufs, v.sizes, v.eps)
				if err != nil {
					t.Fatal(err)
				}
				for _, size := range v.sizes[:n] {
					if size > 0 {
						got = append(got, size)
					}
				}
			}
			if !slices.Equal(got, []int{100, 200}) {
				t.Errorf("got packets of %v bytes", got)
			}
			if l.from.Stats().SendErrors != 1 {
				t.Errorf("stats %+v", l.from.Stats())
			}
		})
	}
}

func TestMarkSurvivesReopening(t *testing.T) {
	b := newTestBind(t, openSockets, 0)
	if _, _, err := b.Open(0); err != nil {
		t.Fatal(err)
	}
	if err := b.SetMark(7); err != nil {
		t.Skipf("no marks here: %v", err)
	}
	b.Close()
	if _, _, err := b.Open(0); err != nil {
		t.Errorf("Open with a mark: %v", err)
	}
}

func BenchmarkThrough(b *testing.B) {
	for name, open := range offloads() {
		for _, size := range []int{1452, 96} {
			b.Run(fmt.Sprintf("%s/%dB", name, size), func(b *testing.B) { benchmarkThrough(b, open, size) })
		}
	}
}

// benchmarkThrough moves a super-segment's worth of packets there.
func benchmarkThrough(b *testing.B, open func(uint16, *slog.Logger) (*sockets, error), size int) {
	l := newLink(b, open, "127.0.0.1")
	v := newVector(batchSize)
	var msgs [][]byte
	for range 45 {
		msgs = append(msgs, l.data(size, 1))
	}
	b.SetBytes(int64(45 * size))
	b.ReportAllocs()
	for b.Loop() {
		if err := l.from.Send(msgs, l.ep); err != nil {
			b.Fatal(err)
		}
		receive(b, l.fn, v, len(msgs))
	}
}

// BenchmarkStock is BenchmarkThrough with WireGuard's own bind, to compare with.
func BenchmarkStock(b *testing.B) {
	from, to := conn.NewStdNetBind(), conn.NewStdNetBind()
	defer from.Close()
	defer to.Close()
	if _, _, err := from.Open(0); err != nil {
		b.Fatal(err)
	}
	fns, port, err := to.Open(0)
	if err != nil {
		b.Fatal(err)
	}
	for _, size := range []int{1452, 96} {
		b.Run(fmt.Sprintf("%dB", size), func(b *testing.B) {
			v := newVector(to.BatchSize())
			ep := &conn.StdNetEndpoint{AddrPort: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port)}
			bufs := make([][]byte, 45)
			for i := range bufs {
				bufs[i] = make([]byte, size, maxMessage) // it gathers by appending
			}
			b.SetBytes(int64(45 * size))
			b.ReportAllocs()
			for b.Loop() {
				if err := from.Send(bufs, ep); err != nil {
					b.Fatal(err)
				}
				receive(b, fns[0], v, len(bufs))
			}
		})
	}
}

// receive receives until so many packets have come.
func receive(tb testing.TB, fn conn.ReceiveFunc, v vector, packets int) {
	for packets > 0 {
		n, err := fn(v.bufs, v.sizes, v.eps)
		if err != nil {
			tb.Fatal(err)
		}
		for _, size := range v.sizes[:n] {
			if size > 0 {
				packets--
			}
		}
	}
}

func BenchmarkAttribute(b *testing.B) {
	l := newLink(b, openPortable, "127.0.0.1")
	msg, src := l.data(1452, 1), netip.MustParseAddrPort("127.0.0.1:9")
	b.ReportAllocs()
	for b.Loop() {
		var m memo // as at the start of every read
		if l.to.attribute(msg, src, 1e9, &m) == nil {
			b.Fatal("not attributed")
		}
	}
}
