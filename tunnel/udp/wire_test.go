package udp

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"

	"nexd/internal/leak"
	"nexd/mesh"
)

// kinds are the ways to open sockets.
var kinds = map[string]func(uint16, *slog.Logger) (*Sockets, error){"native": Open, "portable": OpenPortable}

// link is a pair of sockets that sends to another pair on the same host.
type link struct {
	from, to *Sockets
	r        Reader // of the family in use
	dst      netip.AddrPort
	spans    [BatchSize]Span
}

func newLink(t testing.TB, open func(uint16, *slog.Logger) (*Sockets, error), ip string) *link {
	t.Helper()
	l := &link{from: newSockets(t, open), to: newSockets(t, open)}
	v4, v6 := l.to.Readers()
	addr := netip.MustParseAddr(ip)
	if l.r = v4; addr.Is6() {
		l.r = v6
	}
	if l.r == nil {
		t.Skip("this host lacks the address family")
	}
	l.dst = netip.AddrPortFrom(addr, l.to.Port())
	return l
}

func newSockets(t testing.TB, open func(uint16, *slog.Logger) (*Sockets, error)) *Sockets {
	t.Helper()
	s, err := open(0, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// datagram has a content that depends on fill and the position.
func datagram(size int, fill byte) []byte {
	msg := make([]byte, size)
	for i := range msg {
		msg[i] = fill + byte(i)
	}
	return msg
}

type vector struct {
	bufs  [][]byte
	sizes []int
}

func newVector(n int) vector {
	v := vector{make([][]byte, n), make([]int, n)}
	for i := range v.bufs {
		v.bufs[i] = make([]byte, maxMessage)
	}
	return v
}

const maxMessage = 1<<16 - 1

// receive reads once and returns the datagrams, which stay valid until the next read.
func (l *link) receive(t testing.TB, v vector) (slots [][]byte) {
	t.Helper()
	n, err := l.r.Read(v.bufs, v.sizes, l.spans[:])
	if err != nil {
		t.Fatalf("Read: %v", err)
	}
	for _, s := range l.spans[:n] {
		if s.Src.Port() != l.from.Port() || s.Src.Addr() != l.dst.Addr() {
			t.Fatalf("source %v", s.Src)
		}
		for i := s.First; i < s.First+s.Count; i++ {
			slots = append(slots, v.bufs[i][:v.sizes[i]])
		}
	}
	return slots
}

// hardVectors are packets whose sizes are difficult for runs of one size.
func hardVectors() map[string][][]byte {
	repeat := func(n, size int) (out [][]byte) {
		for i := range n {
			out = append(out, datagram(size, byte(i)))
		}
		return out
	}
	random := rand.New(rand.NewPCG(1, 2))
	var mixed [][]byte
	for i := range 128 {
		mixed = append(mixed, datagram([]int{32, 96, 500, 1452, 1452, 1452, 1400}[random.IntN(7)], byte(i)))
	}
	return map[string][][]byte{
		"one":               repeat(1, 1452),
		"one small":         repeat(1, 32),
		"one huge":          repeat(1, 60000),
		"full run":          repeat(45, 1452),
		"two runs":          repeat(128, 1452),
		"run and a tail":    append(repeat(20, 1452), datagram(700, 9)),
		"tail in between":   append(append(repeat(20, 1452), datagram(700, 9)), repeat(20, 1452)...),
		"growing":           append(repeat(5, 96), repeat(5, 1452)...),
		"shrinking":         append(repeat(30, 1452), repeat(30, 96)...),
		"acknowledgements":  repeat(100, 96),
		"another size":      repeat(64, 1312),
		"larger size":       repeat(10, 4000),
		"mixed":             mixed,
		"more than a batch": repeat(200, 300),
	}
}

// exchange sends datagrams and receives until as many have arrived.
func (l *link) exchange(t *testing.T, v vector, msgs [][]byte) (got [][]byte) {
	t.Helper()
	if _, err := l.from.SendFrom(msgs, l.dst, netip.Addr{}, false); err != nil {
		t.Fatalf("SendFrom: %v", err)
	}
	for len(got) < len(msgs) {
		for _, d := range l.receive(t, v) {
			got = append(got, bytes.Clone(d))
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
						for what, msgs := range hardVectors() {
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
			v := newVector(BatchSize)
			var msgs [][]byte
			for i := range 40 {
				msgs = append(msgs, datagram(1452, byte(i)))
			}
			l.exchange(t, v, msgs)
			allocs := testing.AllocsPerRun(50, func() {
				l.through(t, v, msgs)
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
			msgs := [][]byte{datagram(100, 1), make([]byte, 65530), datagram(200, 2)} // the second is larger than a datagram
			if _, err := l.from.SendFrom(msgs, l.dst, netip.Addr{}, false); err == nil {
				t.Error("no error for a packet that is too large")
			}
			v, got := newVector(BatchSize), []int(nil)
			for len(got) < 2 {
				for _, d := range l.receive(t, v) {
					got = append(got, len(d))
				}
			}
			if !slices.Equal(got, []int{100, 200}) {
				t.Errorf("got packets of %v bytes", got)
			}
		})
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
func benchmarkThrough(b *testing.B, open func(uint16, *slog.Logger) (*Sockets, error), size int) {
	l := newLink(b, open, "127.0.0.1")
	v := newVector(BatchSize)
	var msgs [][]byte
	for range 45 {
		msgs = append(msgs, datagram(size, 1))
	}
	b.SetBytes(int64(45 * size))
	b.ReportAllocs()
	for b.Loop() {
		l.through(b, v, msgs)
	}
}

// through sends datagrams and receives them without copying.
func (l *link) through(tb testing.TB, v vector, msgs [][]byte) {
	if _, err := l.from.SendFrom(msgs, l.dst, netip.Addr{}, false); err != nil {
		tb.Fatal(err)
	}
	for got := 0; got < len(msgs); {
		n, err := l.r.Read(v.bufs, v.sizes, l.spans[:])
		if err != nil {
			tb.Fatal(err)
		}
		for _, s := range l.spans[:n] {
			got += s.Count
		}
	}
}

// A host may lack an address family.
func TestOneFamilyMayBeMissing(t *testing.T) {
	for _, missing := range []string{"udp4", "udp6"} {
		s, err := openWith(0, func(network string, port uint16) (socket, uint16, error) {
			if network == missing {
				return nil, 0, errNoFamily
			}
			return newPortable(network, port)
		})
		if err != nil || s.Port() == 0 {
			t.Fatalf("without %s: %v", missing, err)
		}
		v4, v6 := s.Readers()
		if (v4 == nil) != (missing == "udp4") || (v6 == nil) != (missing == "udp6") {
			t.Errorf("without %s: readers %v and %v", missing, v4, v6)
		}
		dst := map[string]string{"udp4": "127.0.0.1:9", "udp6": "[::1]:9"}[missing]
		if _, err := s.SendFrom([][]byte{{1}}, netip.MustParseAddrPort(dst), netip.Addr{}, false); !errors.Is(err, errNoFamily) {
			t.Errorf("SendFrom to a missing family = %v", err)
		}
		s.Close()
	}
	_, err := openWith(0, func(string, uint16) (socket, uint16, error) { return nil, 0, errNoFamily })
	if !errors.Is(err, errNoFamily) {
		t.Errorf("without any family: %v", err)
	}
}

// A free port of one family may be taken in the other.
func TestAPortFreeInBothFamiliesIsLookedFor(t *testing.T) {
	tries, open := 0, 0
	s, err := openWith(0, func(network string, port uint16) (socket, uint16, error) {
		if network == "udp4" {
			tries++
			open++
			return fakeSocket{func() { open-- }}, uint16(1000 + tries), nil
		}
		if tries < 5 {
			return nil, 0, errPortTaken
		}
		return fakeSocket{}, port, nil
	})
	if err != nil || s.port != 1005 || open != 1 {
		t.Errorf("got %+v, %v; %d sockets open", s, err, open)
	}
}

type fakeSocket struct{ onClose func() }

func (fakeSocket) newReader() Reader { return nil }
func (fakeSocket) send([][]byte, netip.AddrPort, netip.Addr, bool) (r Refused, err error) {
	return r, nil
}
func (fakeSocket) sendHops([]byte, netip.AddrPort, int) error { return nil }
func (fakeSocket) setMark(uint32) error                       { return nil }
func (f fakeSocket) close() error                             { f.onClose(); return nil }

func TestErrorsTellATakenPortFromAForbiddenOne(t *testing.T) {
	s := newSockets(t, Open)
	if _, err := Open(s.Port(), slog.New(slog.DiscardHandler)); mesh.KindOf(err) != mesh.Conflict {
		t.Errorf("Open of a taken port = %v, kind %v", err, mesh.KindOf(err))
	}
	if err := portError(80, os.ErrPermission); mesh.KindOf(err) != mesh.Denied {
		t.Errorf("a forbidden port: %v, kind %v", err, mesh.KindOf(err))
	}
}

func TestReadEndsWithClose(t *testing.T) {
	for name, open := range kinds {
		t.Run(name, func(t *testing.T) {
			leak.Check(t)
			l := newLink(t, open, "127.0.0.1")
			ended := make(chan error)
			go func() {
				v := newVector(BatchSize)
				_, err := l.r.Read(v.bufs, v.sizes, l.spans[:])
				ended <- err
			}()
			if err := l.to.Close(); err != nil {
				t.Fatal(err)
			}
			if err := <-ended; !errors.Is(err, net.ErrClosed) {
				t.Errorf("Read = %v", err)
			}
			if _, err := l.to.SendFrom([][]byte{{1}}, l.dst, netip.Addr{}, false); !errors.Is(err, net.ErrClosed) {
				t.Errorf("SendFrom after Close = %v", err)
			}
		})
	}
}
