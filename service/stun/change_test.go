package stun_test

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"nexd/internal/bucket"
	"nexd/internal/leak"
	wire "nexd/internal/stun"
	"nexd/service/stun"
)

// sink is a socket that records what is written to it.
type sink struct {
	at   string
	sent [][]byte
	to   []netip.AddrPort
}

func (s *sink) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(netip.MustParseAddrPort(s.at)) }
func (s *sink) SendFrom(b []byte, to netip.AddrPort, _ netip.Addr) error {
	s.sent, s.to = append(s.sent, append([]byte(nil), b...)), append(s.to, to)
	return nil
}

var (
	client4 = netip.MustParseAddrPort("203.0.113.7:4000")
	client6 = netip.MustParseAddrPort("[2001:db8:5::7]:4000")
)

func TestAnswersFromAnotherSocket(t *testing.T) {
	const a, aa, b, bb = "192.0.2.1:3478", "192.0.2.1:3479", "192.0.2.2:3478", "192.0.2.2:3479"
	const six, any1, any2 = "[2001:db8::1]:3478", "[::]:3478", "[::]:3479"
	const port, addr, both = wire.Asked | wire.ChangePort, wire.Asked | wire.ChangeAddr, wire.Asked | wire.ChangeAddr | wire.ChangePort
	for _, tt := range []struct {
		sockets []string // the request comes in at the first
		change  wire.Change
		from    string // empty: from nowhere
		other   string
	}{
		{[]string{a}, wire.Asked, a, ""},
		{[]string{a, aa}, wire.Asked, a, ""},
		{[]string{a, aa, b, bb}, wire.Asked, a, bb},
		{[]string{a, aa}, port, aa, ""},
		{[]string{a, b}, port, "", ""},
		{[]string{a, aa}, addr, "", ""},
		{[]string{a, aa, bb, b}, addr, b, bb},
		{[]string{a, aa, b, bb}, both, bb, bb},
		{[]string{a, b}, both, b, b},
		{[]string{a, six}, both, "", ""},
		{[]string{any1, any2}, port, any2, ""},
		{[]string{any1, any2}, both, "", ""},
		{[]string{any1, b}, both, "", ""},
	} {
		s := stun.New(stun.Config{})
		var sinks []*sink
		var first *stun.Socket
		for _, at := range tt.sockets {
			sinks = append(sinks, &sink{at: at})
			if k := s.On(sinks[len(sinks)-1]); first == nil {
				first = k
			}
		}
		id := wire.NewTxID()
		got, from := first.Answer(nil, wire.AppendProbe(nil, id, tt.change, 0), client4, netip.Addr{}), tt.sockets[0]
		for _, k := range sinks {
			if len(k.sent) > 0 {
				if got != nil || len(k.sent) > 1 || k.to[0] != client4 {
					t.Errorf("%v, change %b: more than one answer, or to %v", tt.sockets, tt.change, k.to)
				}
				got, from = k.sent[0], k.at
			}
		}
		if tt.from == "" {
			if got != nil || s.Stats().Nowhere != 1 {
				t.Errorf("%v, change %b: answered from %s; want no answer, counted: %+v", tt.sockets, tt.change, from, s.Stats())
			}
			continue
		}
		r, err := wire.ParseResponse(got)
		if err != nil || r.ID != id || r.Mapped != client4 || from != tt.from {
			t.Errorf("%v, change %b: answered from %s, %+v, %v; want from %s", tt.sockets, tt.change, from, r, err, tt.from)
		}
		if other := ""; tt.other != "" && r.Other.String() != tt.other || tt.other == other && r.Other.IsValid() {
			t.Errorf("%v, change %b: other address %v, want %q", tt.sockets, tt.change, r.Other, tt.other)
		}
	}
}

// A request for an answer from elsewhere yields no more bytes and no more answers than any other.
func TestAnswersFromElsewhereAreNoLongerAndNoMore(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	s := stun.New(stun.Config{PerSource: bucket.Rate{PerSecond: 1, Burst: 20}, Now: func() time.Time { return now }})
	a, b := &sink{at: "[2001:db8::1]:3478"}, &sink{at: "[2001:db8::2]:3479"}
	at := s.On(a)
	s.On(b)
	const all = wire.Asked | wire.ChangeAddr | wire.ChangePort
	long := wire.AppendProbe(nil, wire.NewTxID(), all, 0)
	short := append([]byte{0, 1, 0, 8}, long[4:wire.HeaderSize+8]...) // the change and nothing else
	if out := at.Answer(nil, short, client6, netip.Addr{}); out != nil || len(b.sent) != 0 || s.Stats().TooShort != 1 {
		t.Errorf("%d bytes were answered: %+v", len(short), s.Stats())
	}
	for range 1000 {
		at.Answer(nil, long, client6, netip.Addr{})
	}
	if len(b.sent) != 19 {
		t.Errorf("%d answers; the budget of the source is 20, one was spent", len(b.sent))
	}
	for _, p := range b.sent {
		if len(p) > len(long) {
			t.Errorf("%d bytes in answer to %d", len(p), len(long))
		}
	}
}

func TestAnswerFromAnotherPortOverRealSockets(t *testing.T) {
	leak.Check(t)
	for _, addr := range []string{"127.0.0.1:0", ":0"} {
		s := stun.New(stun.Config{})
		var ports []uint16
		var serves []func(context.Context) error
		for range 2 {
			conn, err := stun.Listen(addr)
			if err != nil {
				t.Fatal(err)
			}
			k := s.On(conn)
			ports = append(ports, conn.LocalAddr().(*net.UDPAddr).AddrPort().Port())
			serves = append(serves, func(ctx context.Context) error { return k.Serve(ctx, conn) })
		}
		ctx, cancel := context.WithCancel(context.Background())
		var tasks sync.WaitGroup
		for _, serve := range serves {
			tasks.Go(func() {
				if err := serve(ctx); err != nil {
					t.Error(err)
				}
			})
		}
		c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		c.WriteToUDPAddrPort(wire.AppendProbe(nil, wire.NewTxID(), wire.Asked|wire.ChangePort, 0), netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), ports[0]))
		c.SetReadDeadline(time.Now().Add(30 * time.Second))
		buf := make([]byte, 200)
		n, from, err := c.ReadFromUDPAddrPort(buf)
		if err != nil || from.Port() != ports[1] {
			t.Errorf("%s: answer from %v, %v; want from port %d", addr, from, err, ports[1])
		} else if r, err := wire.ParseResponse(buf[:n]); err != nil || r.Mapped.Port() != c.LocalAddr().(*net.UDPAddr).AddrPort().Port() {
			t.Errorf("%s: %+v, %v", addr, r, err)
		}
		c.Close()
		cancel()
		tasks.Wait()
	}
}
