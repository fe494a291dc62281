package netstack_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"nexd/internal/packet"
	"nexd/netstack"
)

// watch records the packets on a wire.
type watch struct {
	mu      sync.Mutex
	largest int
	mss     []int // of SYNs
	full    map[netip.Addr]int
	first   int       // data packets of the first flight
	acked   bool      // it is over
	data    packet.IP // the last full packet, a copy
}

func (w *watch) see(b []byte) {
	p, err := packet.ParseIP(b)
	if err != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.largest = max(w.largest, len(b))
	tcp, ok := p.TCP()
	if ok && p.Src() == addrB4 && tcp.Flags()&packet.SYN == 0 {
		w.acked = true
	}
	switch {
	case !ok:
	case tcp.Flags()&packet.SYN != 0:
		if o := tcp.Options(); len(o) >= 4 && o[0] == 2 { // gVisor has it first
			w.mss = append(w.mss, int(binary.BigEndian.Uint16(o[2:])))
		}
	case len(tcp.Data()) > 0:
		if !w.acked {
			w.first++
		}
		w.full[p.Src()] = max(w.full[p.Src()], len(b))
		if len(b) == w.full[p.Src()] {
			w.data, _ = packet.ParseIP(append([]byte(nil), b...))
		}
	}
}

// forget returns what was recorded, and starts again.
func (w *watch) forget() *watch {
	w.mu.Lock()
	defer w.mu.Unlock()
	was := &watch{largest: w.largest, mss: w.mss, full: w.full, data: w.data}
	w.largest, w.mss, w.full = 0, nil, make(map[netip.Addr]int)
	return was
}

func (w *wire) watched() *watch {
	seen := &watch{full: make(map[netip.Addr]int)}
	see := seen.see
	w.see.Store(&see)
	return seen
}

// gVisor's TCP works with segments of two packets, but only whole packets of the MTU
// are on the wire. If the ends have different MTUs, the smaller one counts both ways.
func TestPacketsFit(t *testing.T) {
	for _, mtu := range [][2]int{{1420, 1420}, {1280, 1280}, {1420, 1280}, {1420, 9000}, {9000, 1420}, {40000, 1420}, {65000, 65000}} {
		t.Run(fmt.Sprint(mtu), func(t *testing.T) {
			p := newPairOf(t, netstack.Config{MTU: mtu[0]}, netstack.Config{MTU: mtu[1]})
			p.wire.delay.Store(int64(8 * time.Millisecond)) // a long path
			seen := p.wire.watched()
			smaller := min(mtu[0], mtu[1])
			for _, to := range []netip.Addr{addrB4, addrB6} {
				client, server := p.connect(t, to)
				exchange(t, client, server, 1<<20)
				was := seen.forget()
				header := 40
				if to.Is6() {
					header = 60
				}
				if len(was.mss) < 2 || was.mss[0] != mtu[0]-header || was.mss[1] != mtu[1]-header {
					t.Errorf("%v: the SYNs announce %v", to, was.mss)
				}
				// What is not used of the MTU is room for selective acknowledgements.
				for from, full := range was.full {
					if full > smaller || full < smaller-28 {
						t.Errorf("full packets from %v have %d bytes", from, full)
					}
				}
				if was.largest > smaller {
					t.Errorf("%v: a packet of %d bytes", to, was.largest)
				}
				if mtu[0] == mtu[1] {
					echoLargeUDP(t, p, to)
					if got := seen.forget().largest; got > smaller {
						t.Errorf("%v: a fragment of %d bytes", to, got)
					}
				}
			}
		})
	}
}

// echoLargeUDP sends the largest datagram there and back.
func echoLargeUDP(t *testing.T, p *pair, to netip.Addr) {
	t.Helper()
	server, err := p.b.ListenUDP(netip.AddrPortFrom(to, 0))
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		b := make([]byte, 1<<16)
		n, from, err := server.ReadFrom(b)
		if err == nil {
			server.WriteTo(b[:n], from)
		}
	}()
	client, err := p.a.DialUDP(within(t, 30*time.Second), server.LocalAddr().(*net.UDPAddr).AddrPort())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	client.SetDeadline(time.Now().Add(30 * time.Second))
	client.Write(make([]byte, 65507))
	if n, err := client.Read(make([]byte, 1<<16)); n != 65507 || err != nil {
		t.Errorf("a datagram of 65,507 bytes comes back with %d, %v", n, err)
	}
}

// An ICMP "packet too big" lowers the size of packets to the MTU that it reports.
func TestTooBig(t *testing.T) {
	const limit = 1300
	for _, to := range []netip.Addr{addrB4, addrB6} {
		p := newPair(t, netstack.Config{})
		p.wire.delay.Store(int64(8 * time.Millisecond))
		seen := p.wire.watched()
		client, server := p.connect(t, to)
		client.Write(make([]byte, 10000))
		if _, err := io.ReadFull(server, make([]byte, 10000)); err != nil {
			t.Fatal(err)
		}
		was := seen.forget()
		quote := was.data.Bytes()[:was.data.HeaderLen()+8]
		body := append(make([]byte, 8), quote...)
		proto := uint8(packet.ProtoICMPv6)
		if to.Is4() {
			proto = packet.ProtoICMP
			body[0], body[1] = 3, 4
			binary.BigEndian.PutUint16(body[6:], limit)
		} else {
			body[0] = 2
			binary.BigEndian.PutUint32(body[4:], limit)
		}
		b := ipPacket(was.data.Dst(), was.data.Src(), proto, body)
		if _, err := p.a.Device().Write([][]byte{pad(b)}, headroom); err != nil {
			t.Fatal(err)
		}
		exchange(t, client, server, 1<<20)
		if full := seen.forget().full[was.data.Src()]; full > limit || full < limit-28 {
			t.Errorf("%v: full packets have %d bytes", to, full)
		}
	}
}

// On a long path the congestion window counts in pairs of packets: gVisor's initial
// window is ten segments.
func TestWindowCountsInPairs(t *testing.T) {
	for _, tt := range []struct {
		mtu, least, most int // of B; packets of A's first flight
	}{{1420, 11, 20}, {1280, 1, 10}} {
		p := newPairOf(t, netstack.Config{}, netstack.Config{MTU: tt.mtu})
		p.wire.delay.Store(int64(150 * time.Millisecond))
		seen := p.wire.watched()
		client, server := p.connect(t, addrB4)
		seen.mu.Lock()
		seen.acked = false
		seen.mu.Unlock()
		client.Write(make([]byte, 60000))
		if _, err := io.ReadFull(server, make([]byte, 60000)); err != nil {
			t.Fatal(err)
		}
		seen.mu.Lock()
		first := seen.first
		seen.mu.Unlock()
		if first < tt.least || first > tt.most {
			t.Errorf("MTU %d: %d packets before the first acknowledgement", tt.mtu, first)
		}
	}
}
