package udp

import (
	"bytes"
	"fmt"
	"net/netip"
	"runtime"
	"testing"
)

// Of a host with several addresses, the one that was asked answers: single packets, runs, and runs
// with a tail, by every way to send, to every way to receive.
func TestAnswersLeaveFromTheAddressThatWasAsked(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux reports the address")
	}
	for name, open := range offloads() {
		for _, ip := range []string{"127.0.0.1", "127.0.0.2", "127.8.8.8", "::1"} {
			t.Run(name+"/"+ip, func(t *testing.T) {
				l, v, asked := newLink(t, open, ip), newVector(BatchSize), netip.MustParseAddr(ip)
				if _, err := l.from.SendFrom([][]byte{{1}}, l.dst, netip.Addr{}, false); err != nil {
					t.Fatal(err)
				}
				n, err := l.r.Read(v.bufs, v.sizes, l.spans[:])
				if err != nil || n != 1 || l.spans[0].At != asked {
					t.Fatalf("asked at %v, %v; want %v", l.spans[0].At, err, asked)
				}
				back := &link{from: l.to, to: l.from, dst: l.spans[0].Src}
				if back.r, _ = l.from.Readers(); asked.Is6() {
					_, back.r = l.from.Readers()
				}
				for what, msgs := range hardVectors() {
					if refused, err := l.to.SendFrom(msgs, back.dst, asked, false); err != nil || refused != (Refused{}) {
						t.Fatalf("%s: refused %+v, %v", what, refused, err)
					}
					for i := 0; i < len(msgs); {
						n, err := back.r.Read(v.bufs, v.sizes, back.spans[:])
						if err != nil {
							t.Fatal(err)
						}
						for _, s := range back.spans[:n] {
							if s.Src != l.dst {
								t.Fatalf("%s: packet %d came from %v, want %v", what, i, s.Src, l.dst)
							}
							for j := s.First; j < s.First+s.Count; j++ {
								if !bytes.Equal(v.bufs[j][:v.sizes[j]], msgs[i]) {
									t.Fatalf("%s: packet %d differs", what, i)
								}
								i++
							}
						}
					}
				}
			})
		}
	}
}

// A source address that the host lost costs no packet, and no run either.
func TestAnAddressThatHasGoneIsNotInsistedOn(t *testing.T) {
	for name, open := range kinds {
		for ip, gone := range map[string]string{"127.0.0.1": "192.0.2.1", "::1": "2001:db8::1"} {
			t.Run(name+"/"+ip, func(t *testing.T) {
				l, v := newLink(t, open, ip), newVector(BatchSize)
				for what, msgs := range hardVectors() {
					refused, err := l.from.SendFrom(msgs, l.dst, netip.MustParseAddr(gone), false)
					if err != nil || refused.Run {
						t.Fatalf("%s: refused %+v, %v", what, refused, err)
					}
					if name == "native" && runtime.GOOS == "linux" && !refused.Source {
						t.Fatalf("%s: the address was not refused; it is no test", what)
					}
					for i := 0; i < len(msgs); {
						for _, got := range l.receive(t, v) {
							if !bytes.Equal(got, msgs[i]) {
								t.Fatalf("%s: packet %d differs", what, i)
							}
							i++
						}
					}
				}
			})
		}
	}
}

// count reads once and returns the number of datagrams.
func (l *link) count(tb testing.TB, v vector) (got int) {
	n, err := l.r.Read(v.bufs, v.sizes, l.spans[:])
	if err != nil {
		tb.Fatal(err)
	}
	for _, s := range l.spans[:n] {
		got += s.Count
	}
	return got
}

func TestASourceAddressCostsNoAllocation(t *testing.T) {
	l, v := newLink(t, Open, "127.0.0.1"), newVector(BatchSize)
	var msgs [][]byte
	for i := range 40 {
		msgs = append(msgs, datagram(1452, byte(i)))
	}
	allocs := testing.AllocsPerRun(50, func() {
		if _, err := l.from.SendFrom(msgs, l.dst, l.dst.Addr(), false); err != nil {
			t.Fatal(err)
		}
		for got := 0; got < len(msgs); {
			got += l.count(t, v)
		}
	})
	if allocs > 1 { // a pool may be emptied by the collector in between
		t.Errorf("%v allocations", allocs)
	}
}

// BenchmarkSource compares sends whose source the kernel selects with sends that set it.
func BenchmarkSource(b *testing.B) {
	for _, size := range []int{1452, 96} {
		for name, source := range map[string]netip.Addr{"route's": {}, "set": netip.MustParseAddr("127.0.0.1")} {
			for _, plain := range []bool{false, true} {
				b.Run(fmt.Sprintf("%dB/plain=%v/%s", size, plain, name), func(b *testing.B) {
					l, v := newLink(b, Open, "127.0.0.1"), newVector(BatchSize)
					var msgs [][]byte
					for range 45 {
						msgs = append(msgs, datagram(size, 1))
					}
					b.SetBytes(int64(45 * size))
					b.ReportAllocs()
					for b.Loop() {
						if _, err := l.from.SendFrom(msgs, l.dst, source, plain); err != nil {
							b.Fatal(err)
						}
						for got := 0; got < len(msgs); {
							got += l.count(b, v)
						}
					}
				})
			}
		}
	}
}
