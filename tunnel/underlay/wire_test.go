package underlay

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"testing"

	"golang.zx2c4.com/wireguard/conn"

	"nexd/tunnel/udp"
)

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

// Every packet of a batch is attributed and keeps its place. The ways to move
// batches are tested in package udp.
func TestPacketsOfABatchAreAttributedInOrder(t *testing.T) {
	for name, open := range kinds {
		for _, ip := range []string{"127.0.0.1", "::1"} {
			for _, slots := range []int{128, 17, 1} {
				t.Run(fmt.Sprintf("%s/%s/%d", name, ip, slots), func(t *testing.T) {
					l := newLink(t, open, ip)
					v := newVector(slots)
					for round := range 3 {
						var msgs [][]byte
						for i := range 128 {
							msgs = append(msgs, l.data([]int{32, 96, 500, 1452, 1452, 1452, 1400}[(i*i+round)%7], byte(i)))
						}
						if got := l.exchange(t, v, msgs); !slices.EqualFunc(got, msgs, bytes.Equal) {
							t.Fatalf("round %d: packets differ", round)
						}
					}
				})
			}
		}
	}
}

func TestBatchesAreAsLargeAsWireGuards(t *testing.T) {
	if udp.BatchSize != conn.IdealBatchSize && udp.BatchSize != 1 {
		t.Errorf("a batch has %d packets, WireGuard's has %d", udp.BatchSize, conn.IdealBatchSize)
	}
}

func TestSendAndReceiveDoNotAllocate(t *testing.T) {
	for name, open := range kinds {
		t.Run(name, func(t *testing.T) {
			l := newLink(t, open, "127.0.0.1")
			v := newVector(udp.BatchSize)
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

func TestASendErrorIsCounted(t *testing.T) {
	l := newLink(t, openUDP, "127.0.0.1")
	if err := l.from.Send([][]byte{l.data(65530, 1)}, l.ep); err == nil { // larger than a datagram
		t.Error("no error for a packet that is too large")
	}
	if l.from.Stats().SendErrors != 1 {
		t.Errorf("stats %+v", l.from.Stats())
	}
}

// refusing are sockets whose path takes no runs.
type refusing struct {
	sockets
	runs *int
}

func (r refusing) SendFrom(packets [][]byte, dst netip.AddrPort, source netip.Addr, plain bool) (udp.Refused, error) {
	if plain {
		return r.sockets.SendFrom(packets, dst, source, true)
	}
	*r.runs++
	_, err := r.sockets.SendFrom(packets, dst, source, true)
	return udp.Refused{Run: true}, err
}

// A path that refused a run gets single packets for a while.
func TestARefusedRunIsRemembered(t *testing.T) {
	runs := 0
	l := newLink(t, func(port uint16, log *slog.Logger) (sockets, error) {
		s, err := openUDP(port, log)
		return refusing{s, &runs}, err
	}, "127.0.0.1")
	v := newVector(udp.BatchSize)
	for range 3 {
		l.exchange(t, v, [][]byte{l.data(1452, 1), l.data(1452, 2)})
	}
	if runs != 1 || l.ep.(*endpoint).plain.Load() == 0 {
		t.Errorf("%d runs were sent", runs)
	}
	l.ep.(*endpoint).plain.Store(1) // as some time later
	if l.exchange(t, v, [][]byte{l.data(1452, 1), l.data(1452, 2)}); runs != 2 {
		t.Errorf("%d runs were sent after a while", runs)
	}
}

func TestMarkSurvivesReopening(t *testing.T) {
	b := newTestBind(t, openUDP, 0)
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

func BenchmarkThrough(b *testing.B) {
	for name, open := range kinds {
		for _, size := range []int{1452, 96} {
			b.Run(fmt.Sprintf("%s/%dB", name, size), func(b *testing.B) {
				l := newLink(b, open, "127.0.0.1")
				v := newVector(udp.BatchSize)
				var msgs [][]byte
				for range 45 { // a super-segment's worth
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
			})
		}
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
