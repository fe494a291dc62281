package forward

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"nexd/internal/datagram"
	"nexd/internal/eventually"
	"nexd/internal/leak"
)

// echoUDP answers every datagram with itself.
func echoUDP(t testing.TB, network, addr string) string {
	t.Helper()
	pc, err := net.ListenPacket(network, addr)
	if err != nil {
		t.Skipf("no %s here: %v", addr, err)
	}
	t.Cleanup(func() { pc.Close() })
	go func() {
		buf := make([]byte, datagram.Size)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			pc.WriteTo(buf[:n], from)
		}
	}()
	return pc.LocalAddr().String()
}

func ask(t *testing.T, c net.Conn, want []byte) {
	t.Helper()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := c.Write(want); err != nil {
		t.Error(err)
	}
	buf := make([]byte, datagram.Size)
	n, err := c.Read(buf)
	if err != nil || !bytes.Equal(buf[:n], want) {
		t.Errorf("%d bytes came back as %d, %v", len(want), n, err)
	}
}

func dialUDP(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestUDPBothDirectionsKeepDatagramsWhole(t *testing.T) {
	leak.Check(t)
	m := newMesh()
	m.names["node1:53"] = echoUDP(t, "udp4", "127.0.0.1:0")
	m.names["[fd00::1]:53"] = echoUDP(t, "udp6", "[::1]:0")
	f, stop := running(t, m.config(), "0:node1:53/udp", "[::1]:0:[fd00::1]:53/udp", "-R 53:"+m.names["node1:53"]+"/udp")
	for i, addr := range []string{f.Status()[0].Listening[0], f.Status()[1].Listening[0], m.ports["udp4 0.0.0.0:53"]} {
		a, b := dialUDP(t, addr), dialUDP(t, addr)
		for _, size := range []int{0, 1, 1200, 65507} {
			ask(t, a, bytes.Repeat([]byte("a"), size))
			ask(t, b, bytes.Repeat([]byte("b"), size))
		}
		eventually.True(t, "all counted", func() bool {
			st := f.Status()[i]
			return st.Active == 2 && st.Total == 2 && st.Sent == 2*(1+1200+65507) && st.Received == st.Sent
		})
	}
	stop()
}

func TestUDPClientsAreForgottenWhenQuiet(t *testing.T) {
	leak.Check(t)
	m := newMesh()
	m.names["node1:53"] = echoUDP(t, "udp4", "127.0.0.1:0")
	cfg := m.config()
	cfg.UDPIdle = 50 * time.Millisecond
	f, stop := running(t, cfg, "0:node1:53/udp")
	c := dialUDP(t, f.Status()[0].Listening[0])
	ask(t, c, []byte("one"))
	eventually.True(t, "forgotten", func() bool { return f.Status()[0].Active == 0 })
	ask(t, c, []byte("two"))
	if st := f.Status()[0]; st.Total != 2 || st.LastError != "" {
		t.Errorf("status %+v", st)
	}
	stop()
}

func TestUDPClientsAtTheirLimit(t *testing.T) {
	leak.Check(t)
	m := newMesh()
	m.names["node1:53"] = echoUDP(t, "udp4", "127.0.0.1:0")
	cfg := m.config()
	cfg.MaxClients = 1
	f, stop := running(t, cfg, "0:node1:53/udp")
	a, b := dialUDP(t, f.Status()[0].Listening[0]), dialUDP(t, f.Status()[0].Listening[0])
	ask(t, a, []byte("first"))
	b.Write([]byte("one too many"))
	eventually.True(t, "refused", func() bool { return f.Status()[0].Refused == 1 })
	ask(t, a, []byte("still served"))
	if st := f.Status()[0]; !strings.Contains(st.LastError, "the limit of 1 UDP clients is reached") {
		t.Errorf("status %+v", st)
	}
	stop()
}

func TestUDPDatagramsWaitForASlowDial(t *testing.T) {
	leak.Check(t)
	m := newMesh()
	to := echoUDP(t, "udp4", "127.0.0.1:0")
	release := make(chan struct{})
	cfg := m.config()
	cfg.DialMesh = func(ctx context.Context, network, _ string) (net.Conn, error) {
		<-release
		return (&net.Dialer{}).DialContext(ctx, network, to)
	}
	f, stop := running(t, cfg, "0:node1:53/udp")
	c := dialUDP(t, f.Status()[0].Listening[0])
	want := []string{"1", "2", "3", "4"}
	for _, s := range want {
		c.Write([]byte(s))
	}
	eventually.True(t, "client seen", func() bool { return f.Status()[0].Active == 1 })
	close(release)
	buf := make([]byte, 10)
	for _, s := range want {
		c.SetReadDeadline(time.Now().Add(5 * time.Second))
		if n, err := c.Read(buf); string(buf[:n]) != s {
			t.Errorf("got %q, %v; want %q", buf[:n], err, s)
		}
	}
	stop()
}

func TestUDPTargetThatCannotBeDialledIsNotDialledForEveryDatagram(t *testing.T) {
	leak.Check(t)
	m := newMesh()
	var mu sync.Mutex
	dials := 0
	cfg := m.config()
	cfg.DialMesh = func(context.Context, string, string) (net.Conn, error) {
		mu.Lock()
		defer mu.Unlock()
		dials++
		return nil, errors.New("no such name")
	}
	f, stop := running(t, cfg, "0:node1:53/udp")
	c := dialUDP(t, f.Status()[0].Listening[0])
	for range 50 {
		c.Write([]byte("x"))
	}
	eventually.True(t, "error told", func() bool { return strings.Contains(f.Status()[0].LastError, "no such name") })
	mu.Lock()
	if dials != 1 {
		t.Errorf("%d dials", dials)
	}
	mu.Unlock()
	stop()
}

func TestUDPTargetThatRefuses(t *testing.T) {
	leak.Check(t)
	pc, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := pc.LocalAddr().String()
	pc.Close()
	m := newMesh()
	m.names["node1:9"] = closed
	f, stop := running(t, m.config(), "0:node1:9/udp")
	c := dialUDP(t, f.Status()[0].Listening[0])
	c.Write([]byte("anybody?"))
	eventually.True(t, "error told", func() bool { return strings.Contains(f.Status()[0].LastError, syscall.ECONNREFUSED.Error()) })
	eventually.True(t, "client gone", func() bool { return f.Status()[0].Active == 0 })
	stop()
}

// The clients of a name server are forgotten soon after the answer, so that the limit of clients
// does not limit the questions per minute. A client without an answer stays.
func TestUDPClientsOfANameServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := newMesh().config()
		cfg.MaxClients = 1
		at := &fakePackets{in: make(chan fakeDatagram), out: make(chan fakeDatagram, 9), closed: make(chan struct{})}
		cfg.ListenPacketHost = func(context.Context, string, string) (net.PacketConn, error) { return at, nil }
		cfg.DialMesh = func(context.Context, string, string) (net.Conn, error) {
			here, there := net.Pipe()
			go func() { // a name server that takes its time
				defer there.Close()
				b := make([]byte, 20)
				if n, err := there.Read(b); err == nil && string(b[:n]) == "question" {
					time.Sleep(10 * time.Second)
					there.Write([]byte("answer"))
					there.Read(b) // until it is forgotten
				}
			}()
			return here, nil
		}
		f, _ := running(t, cfg, "5353:node1:53/udp")
		for port := range uint16(3) { // each question has another port, as resolvers do
			at.in <- fakeDatagram{"question", netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, 1}), 1000+port)}
			if d := <-at.out; d.text != "answer" || d.addr.Port() != 1000+port {
				t.Errorf("%v", d)
			}
			time.Sleep(3 * time.Second)
		}
		if st := f.Status()[0]; st.Total != 3 || st.Active != 0 || st.Refused != 0 {
			t.Errorf("%+v", st)
		}
	})
}

type fakeDatagram struct {
	text string
	addr netip.AddrPort
}

// fakePackets is a UDP socket inside a synctest bubble.
type fakePackets struct {
	net.PacketConn
	in, out chan fakeDatagram
	closed  chan struct{}
	once    sync.Once
}

func (p *fakePackets) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	select {
	case d := <-p.in:
		return copy(b, d.text), d.addr, nil
	case <-p.closed:
		return 0, netip.AddrPort{}, net.ErrClosed
	}
}

func (p *fakePackets) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	p.out <- fakeDatagram{string(b), to}
	return len(b), nil
}

func (p *fakePackets) LocalAddr() net.Addr {
	return &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 5353}
}
func (p *fakePackets) Close() error { p.once.Do(func() { close(p.closed) }); return nil }

// A rule on every address of the host answers from the address that the client sent to, since a
// client accepts answers only from there.
func TestUDPAnswersFromTheAddressThatWasAsked(t *testing.T) {
	leak.Check(t)
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has all of 127.0.0.0/8, and tells which was asked")
	}
	m := newMesh()
	m.names["node1:7"] = echoUDP(t, "udp4", "127.0.0.1:0")
	f, stop := running(t, m.config(), "0.0.0.0:0:node1:7/udp", "[::]:0:node1:7/udp")
	for i, addrs := range [][]string{{"127.0.0.1", "127.0.0.2", "127.9.9.9"}, {"::1"}} {
		_, port, _ := net.SplitHostPort(f.Status()[i].Listening[0])
		for _, addr := range addrs {
			ask(t, dialUDP(t, net.JoinHostPort(addr, port)), []byte(addr)) // is connected, hears nobody else
		}
		pc, err := net.ListenPacket("udp", net.JoinHostPort(addrs[0], "0"))
		if err != nil {
			t.Fatal(err)
		}
		defer pc.Close()
		pc.SetDeadline(time.Now().Add(20 * time.Second))
		for _, addr := range addrs { // one port of the client's, several addresses asked
			to, _ := net.ResolveUDPAddr("udp", net.JoinHostPort(addr, port))
			pc.WriteTo([]byte(addr), to)
			b := make([]byte, 40)
			n, from, err := pc.ReadFrom(b)
			if err != nil || from.String() != to.String() || string(b[:n]) != addr {
				t.Errorf("%v answers %q from %v, %v", to, b[:n], from, err)
			}
		}
	}
	stop()
}
