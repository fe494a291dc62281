package udprun

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"nexd/internal/leak"
)

func open(t testing.TB, network, addr string) *Conn {
	t.Helper()
	a, err := net.ResolveUDPAddr(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	udp, err := net.ListenUDP(network, a)
	if err != nil {
		t.Skipf("no %s socket at %s: %v", network, addr, err)
	}
	c := New(udp)
	t.Cleanup(func() { c.Close() })
	udp.SetReadDeadline(time.Now().Add(30 * time.Second))
	return c
}

// datagrams reads until n datagrams have come, each copied out of its run.
func datagrams(t *testing.T, c *Conn, n int) (out [][]byte, reads int) {
	t.Helper()
	r, buf := c.Reader(), make([]byte, BufferSize)
	for ; len(out) < n; reads++ {
		m, segment, from, err := r.Read(buf)
		if err != nil {
			t.Fatalf("after %d of %d datagrams: %v", len(out), n, err)
		}
		if !from.IsValid() {
			t.Fatal("from nowhere")
		}
		for run := buf[:m]; len(run) > 0; run = run[min(segment, len(run)):] {
			out = append(out, bytes.Clone(run[:min(segment, len(run))]))
		}
	}
	return out, reads
}

// numbered is a run whose datagrams say their numbers.
func numbered(n, segment, last int) []byte {
	run := make([]byte, 0, n*segment)
	for i := range n {
		size := segment
		if i == n-1 {
			size = last
		}
		run = append(run, bytes.Repeat([]byte{byte(i + 1)}, size)...)
	}
	return run
}

func TestARunArrivesAsItsDatagrams(t *testing.T) {
	leak.Check(t)
	for name, tt := range map[string]struct {
		network, addr    string
		n, segment, last int
		plain            bool
	}{
		"full packets":           {"udp4", "127.0.0.1:0", 44, 1472, 1472, false},
		"a short one at the end": {"udp4", "127.0.0.1:0", 20, 1472, 60, false},
		"more than one call":     {"udp4", "127.0.0.1:0", 150, 1000, 1000, false},
		"small ones":             {"udp4", "127.0.0.1:0", 100, 52, 52, false},
		"giant ones":             {"udp4", "127.0.0.1:0", 3, 40_000, 100, false},
		"one by one":             {"udp4", "127.0.0.1:0", 20, 1472, 60, true},
		"IPv6":                   {"udp6", "[::1]:0", 44, 1452, 1452, false},
		"both families":          {"udp", ":0", 44, 1472, 1000, false},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := open(t, tt.network, tt.addr), open(t, tt.network, tt.addr)
			to := b.LocalAddr()
			if to.Addr().IsUnspecified() {
				to = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), to.Port())
			}
			run := numbered(tt.n, tt.segment, tt.last)
			if _, err := a.Write(run, tt.segment, to, tt.plain); err != nil {
				t.Fatal(err)
			}
			got, reads := datagrams(t, b, tt.n)
			if joined := bytes.Join(got, nil); len(got) != tt.n || !bytes.Equal(joined, run) {
				t.Errorf("%d datagrams of %d bytes in all; want %d of %d", len(got), len(joined), tt.n, len(run))
			}
			for i, d := range got[:tt.n-1] {
				if len(d) != tt.segment {
					t.Fatalf("datagram %d has %d bytes", i, len(d))
				}
			}
			t.Logf("%d datagrams in %d reads, gso %v, gro %v", tt.n, reads, a.gso.Load(), b.gro)
		})
	}
}

func TestWriteGoesOnAfterAnError(t *testing.T) {
	a, b := open(t, "udp4", "127.0.0.1:0"), open(t, "udp4", "127.0.0.1:0")
	if _, err := a.Write(make([]byte, 70_000), 70_000, b.LocalAddr(), false); err == nil {
		t.Error("a datagram of 70,000 bytes was sent")
	}
	if _, err := a.Write([]byte("next"), 4, b.LocalAddr(), false); err != nil {
		t.Fatal(err)
	}
	if got, _ := datagrams(t, b, 1); string(got[0]) != "next" {
		t.Errorf("%q came", got)
	}
}

func BenchmarkRun(b *testing.B) {
	x, y := open(b, "udp4", "127.0.0.1:0"), open(b, "udp4", "127.0.0.1:0")
	for name, plain := range map[string]bool{"joined": false, "one by one": true} {
		b.Run(name, func(b *testing.B) {
			run, buf, r := numbered(44, 1472, 1472), make([]byte, BufferSize), y.Reader()
			b.SetBytes(int64(len(run)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := x.Write(run, 1472, y.LocalAddr(), plain); err != nil {
					b.Fatal(err)
				}
				for got := 0; got < len(run); {
					n, _, _, err := r.Read(buf)
					if err != nil {
						b.Fatal(err)
					}
					got += n
				}
			}
		})
	}
}

// A socket on all addresses answers from the one that was asked: single datagrams and runs.
func TestAnswersLeaveFromTheAddressThatWasAsked(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux reports the address")
	}
	for name, tt := range map[string]struct{ network, asked string }{
		"IPv4":              {"udp4", "127.0.0.2"},
		"IPv6":              {"udp6", "::1"},
		"IPv4 of two":       {"udp", "127.0.0.3"},
		"the usual address": {"udp4", "127.0.0.1"},
	} {
		for _, plain := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, plain %v", name, plain), func(t *testing.T) {
				client, server := open(t, tt.network, ":0"), open(t, tt.network, ":0")
				asked := netip.AddrPortFrom(netip.MustParseAddr(tt.asked), server.LocalAddr().Port())
				if _, err := client.Write([]byte("asked"), 5, asked, true); err != nil {
					t.Fatal(err)
				}
				r, buf := server.Reader(), make([]byte, BufferSize)
				_, _, from, err := r.Read(buf)
				if err != nil || r.Asked() != asked.Addr() {
					t.Fatalf("asked at %v, %v; want %v", r.Asked(), err, asked)
				}
				run := numbered(20, 1000, 300)
				if refused, err := server.WriteFrom(run, 1000, from, r.Asked(), plain); err != nil || refused {
					t.Fatalf("refused %v, %v", refused, err)
				}
				answers := client.Reader()
				for got := 0; got < len(run); {
					n, _, from, err := answers.Read(buf)
					if from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port()); err != nil || from != asked {
						t.Fatalf("the answer came from %v, %v; want %v", from, err, asked)
					}
					got += n
				}
			})
		}
	}
}

// An address that the host lost costs neither the datagrams nor the runs.
func TestAnAddressThatHasGoneIsNotInsistedOn(t *testing.T) {
	for _, gone := range []string{"192.0.2.1", "2001:db8::1", "fe80::1"} {
		a, b := open(t, "udp", ":0"), open(t, "udp", ":0")
		run := numbered(10, 1000, 1000)
		to := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), b.LocalAddr().Port())
		if refused, err := a.WriteFrom(run, 1000, to, netip.MustParseAddr(gone), false); err != nil || refused {
			t.Errorf("from %s: refused %v, %v", gone, refused, err)
		}
		datagrams(t, b, 10)
	}
}
