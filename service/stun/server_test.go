package stun_test

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"nexd/internal/bucket"
	"nexd/internal/leak"
	wire "nexd/internal/stun"
	"nexd/service/stun"
)

// serve runs a server on a socket until the test ends.
func serve(t *testing.T, s *stun.Server, addr string) netip.AddrPort {
	t.Helper()
	conn, err := stun.Listen(addr)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.On(conn).Serve(ctx, conn) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

func dial(t *testing.T, to netip.AddrPort) *net.UDPConn {
	t.Helper()
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// ask sends a packet and returns the answer, or nil if none arrives within a moment.
func ask(t *testing.T, c *net.UDPConn, packet []byte, within time.Duration) []byte {
	t.Helper()
	if _, err := c.Write(packet); err != nil {
		t.Fatal(err)
	}
	c.SetReadDeadline(time.Now().Add(within))
	b := make([]byte, 2000)
	n, err := c.Read(b)
	if err != nil {
		return nil
	}
	return b[:n]
}

func TestTellsWhereARequestCameFrom(t *testing.T) {
	leak.Check(t)
	s := stun.New(stun.Config{})
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0"} {
		at := serve(t, s, addr)
		c := dial(t, at)
		id := wire.NewTxID()
		req := wire.AppendRequest(nil, id)
		answer := ask(t, c, req, 5*time.Second)
		r, err := wire.ParseResponse(answer)
		if err != nil || r.ID != id || r.Mapped != c.LocalAddr().(*net.UDPAddr).AddrPort() {
			t.Errorf("%s: %+v, %v; asked from %v", addr, r, err, c.LocalAddr())
		}
		if len(answer) > len(req) {
			t.Errorf("%s: %d bytes in answer to %d", addr, len(answer), len(req))
		}
	}
	if st := s.Stats(); st.Answered != 2 {
		t.Errorf("stats %+v", st)
	}
}

func TestTwoPortsSeeOneSocketTheSameWithoutANAT(t *testing.T) {
	leak.Check(t)
	s := stun.New(stun.Config{})
	a, b := serve(t, s, "127.0.0.1:0"), serve(t, s, "127.0.0.1:0")
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var seen []netip.AddrPort
	for _, to := range []netip.AddrPort{a, b} {
		c.WriteToUDPAddrPort(wire.AppendRequest(nil, wire.NewTxID()), to)
		buf := make([]byte, 100)
		c.SetReadDeadline(time.Now().Add(5 * time.Second))
		n, _, err := c.ReadFromUDPAddrPort(buf)
		if err != nil {
			t.Fatal(err)
		}
		r, err := wire.ParseResponse(buf[:n])
		if err != nil {
			t.Fatal(err)
		}
		seen = append(seen, r.Mapped)
	}
	if seen[0] != seen[1] {
		t.Errorf("seen as %v", seen)
	}
}

func TestNeverAnswersWithMoreThanItGot(t *testing.T) {
	s := stun.New(stun.Config{})
	from6, from4 := netip.MustParseAddrPort("[2001:db8::1]:4000"), netip.MustParseAddrPort("192.0.2.1:4000")
	id := wire.NewTxID()
	full := wire.AppendRequest(nil, id)
	bare := append([]byte{0, 1, 0, 0}, full[4:wire.HeaderSize]...)
	some := append([]byte{0, 1, 0, 16}, full[4:wire.HeaderSize]...)
	some = append(some, append([]byte{0x80, 0x22, 0, 12}, make([]byte, 12)...)...)
	for _, packet := range [][]byte{bare, some, full} {
		for _, from := range []netip.AddrPort{from4, from6} {
			if got := s.Answer(nil, packet, from); len(got) > len(packet) {
				t.Errorf("%d bytes to %v in answer to %d", len(got), from, len(packet))
			}
		}
	}
	if st := s.Stats(); st.Answered != 3 || st.TooShort != 3 {
		t.Errorf("stats %+v; want 3 answered (36 bytes by IPv4, 52 by both) and 3 too short", st)
	}
}

func TestForeignPacketsGetNoAnswer(t *testing.T) {
	s := stun.New(stun.Config{})
	from := netip.MustParseAddrPort("192.0.2.1:4000")
	resp := wire.Response{ID: wire.NewTxID(), Mapped: from}.Append(nil, false)
	for _, packet := range [][]byte{nil, {1}, resp, make([]byte, 148), make([]byte, wire.MaxSize+1)} {
		if got := s.Answer(nil, packet, from); got != nil {
			t.Errorf("answer of %d bytes to %d foreign ones", len(got), len(packet))
		}
	}
	if st := s.Stats(); st.Malformed != 5 || st.Answered != 0 {
		t.Errorf("stats %+v", st)
	}
}

func TestFloodOfOneSourceDoesNotStarveAnother(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	s := stun.New(stun.Config{
		PerSource: bucket.Rate{PerSecond: 10, Burst: 10}, Total: bucket.Rate{PerSecond: 100, Burst: 100}, Now: func() time.Time { return now },
	})
	req := wire.AppendRequest(nil, wire.NewTxID())
	bad, good := netip.MustParseAddrPort("192.0.2.1:4000"), netip.MustParseAddrPort("192.0.2.2:4000")
	for range 10_000 {
		s.Answer(nil, req, bad)
	}
	if st := s.Stats(); st.Answered != 10 || st.Limited != 9_990 {
		t.Errorf("after a flood: %+v", st)
	}
	if s.Answer(nil, req, good) == nil {
		t.Error("another source got no answer")
	}
	for i := range 10_000 { // forged sources: the total holds
		s.Answer(nil, req, netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 4000))
	}
	if st := s.Stats(); st.Answered > 100 {
		t.Errorf("%d answers to forged sources; the total is 100", st.Answered)
	}
}

func TestFloodOverARealSocketIsBounded(t *testing.T) {
	leak.Check(t)
	s := stun.New(stun.Config{PerSource: bucket.Rate{PerSecond: 0.001, Burst: 50}})
	c := dial(t, serve(t, s, "127.0.0.1:0"))
	req := wire.AppendRequest(nil, wire.NewTxID())
	for range 2000 {
		c.Write(req)
	}
	got, buf := 0, make([]byte, 100)
	c.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
	for {
		if _, err := c.Read(buf); err != nil {
			break
		}
		got++
	}
	if got != 50 {
		t.Errorf("%d answers to 2000 requests; the budget is 50: %+v", got, s.Stats())
	}
}

func TestAddressInUseIsSaid(t *testing.T) {
	at := serve(t, stun.New(stun.Config{}), "127.0.0.1:0")
	if _, err := stun.Listen(at.String()); err == nil {
		t.Error("two sockets on one address")
	}
}
