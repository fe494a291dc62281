package proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"nexd/internal/datagram"
	"nexd/internal/eventually"
	"nexd/internal/leak"
	"nexd/mesh"
)

// udpClient is a UDP client of a proxy: its control connection and its socket.
type udpClient struct {
	t       testing.TB
	control *net.TCPConn
	udp     *net.UDPConn
	relay   *net.UDPAddr
}

// withUDP adds UDP on loopback to the mesh, with these names.
func withUDP(m *fakeMesh, names map[string]string) func(*Config) {
	return func(c *Config) {
		c.ListenPacket = func(context.Context) (datagram.Conn, error) {
			return net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		}
		c.Resolve = func(_ context.Context, host string) ([]netip.Addr, error) {
			m.mu.Lock()
			m.dialed = append(m.dialed, host)
			m.mu.Unlock()
			if a, ok := names[host]; ok {
				return []netip.Addr{netip.MustParseAddr(a)}, nil
			}
			return nil, mesh.Errorf(mesh.NotFound, "no node %q", host)
		}
	}
}

// ask sends UDP ASSOCIATE and returns the reply.
func ask(t testing.TB, c net.Conn, announced string) []byte {
	t.Helper()
	ap := netip.MustParseAddrPort(announced)
	say(t, c, hello+"\x05\x03\x00"+string(appendUDP(nil, ap)[3:]))
	hear(t, c, helloOK)
	reply := make([]byte, 10)
	if _, err := io.ReadFull(c, reply); err != nil {
		t.Fatal(err)
	}
	return reply
}

func (r *running) associate(t testing.TB) *udpClient {
	t.Helper()
	u := &udpClient{t: t, control: r.dial(t)}
	reply := ask(t, u.control, "0.0.0.0:0")
	if reply[1] != 0 || reply[3] != typeIPv4 {
		t.Fatalf("reply %x", reply)
	}
	u.relay = &net.UDPAddr{IP: reply[4:8], Port: int(reply[8])<<8 | int(reply[9])}
	if !u.relay.IP.Equal(net.IPv4(127, 0, 0, 1)) {
		t.Fatalf("the relay is at %v, not where the client reached the proxy", u.relay)
	}
	u.udp = listenUDP(t)
	return u
}

func listenUDP(t testing.TB) *net.UDPConn {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(10 * time.Second))
	t.Cleanup(func() { c.Close() })
	return c
}

func (u *udpClient) send(header []byte, data string) {
	u.t.Helper()
	if _, err := u.udp.WriteTo(append(header, data...), u.relay); err != nil {
		u.t.Fatal(err)
	}
}

// receive returns the source and the payload of the next datagram.
func (u *udpClient) receive() (from string, data []byte) {
	u.t.Helper()
	buf := make([]byte, 65535)
	n, _, err := u.udp.ReadFrom(buf)
	if err != nil {
		u.t.Fatal(err)
	}
	to, data, err := parseUDP(buf[:n])
	if err != nil {
		u.t.Fatal(err)
	}
	return to.String(), data
}

func toAddr(c *net.UDPConn) []byte { return appendUDP(nil, udpAddr(c.LocalAddr())) }

func toName(host string, port uint16) []byte {
	return append(append([]byte{0, 0, 0, typeName, byte(len(host))}, host...), byte(port>>8), byte(port))
}

// answers makes a UDP server that answers with the sender's address and the data.
func answers(t testing.TB) *net.UDPConn {
	c := listenUDP(t)
	var wg sync.WaitGroup
	wg.Go(func() {
		buf := make([]byte, 65535)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			c.WriteTo(append([]byte(from.String()+" "), buf[:n]...), from)
		}
	})
	t.Cleanup(func() { c.Close(); wg.Wait() })
	return c
}

func TestOneMeshPortForAllTargets(t *testing.T) {
	leak.Check(t)
	p := run(t, newMesh(), withUDP(newMesh(), nil))
	u := p.associate(t)
	a, b := answers(t), answers(t)
	ports := map[string]bool{}
	for _, s := range []*net.UDPConn{a, b, a} {
		u.send(toAddr(s), "hello")
		from, data := u.receive()
		port, text, _ := strings.Cut(string(data), " ")
		if from != s.LocalAddr().String() || text != "hello" {
			t.Errorf("from %s: %q", from, data)
		}
		ports[port] = true
	}
	if len(ports) != 1 {
		t.Errorf("the targets saw %v, want one port", ports)
	}
	for port := range ports { // somebody the client never wrote to may write to that port
		stranger := listenUDP(t)
		to, _ := net.ResolveUDPAddr("udp", port)
		stranger.WriteTo([]byte("unasked"), to)
		if from, data := u.receive(); from != stranger.LocalAddr().String() || string(data) != "unasked" {
			t.Errorf("from %s: %q", from, data)
		}
	}
	eventually.True(t, "the counters", func() bool { // an answer may be back before they are raised
		s := p.Stats()
		return s.Associations == 1 && s.Sent == 15 && s.Received > 0
	})
}

func TestLargestDatagrams(t *testing.T) {
	leak.Check(t)
	p := run(t, newMesh(), withUDP(newMesh(), nil))
	u := p.associate(t)
	sink := listenUDP(t)
	const header = 10
	data := bytes.Repeat([]byte("x"), 65507-header)
	u.send(toAddr(sink), string(data)) // 65,507 bytes in all: what UDP carries
	buf := make([]byte, 65535)
	n, from, err := sink.ReadFrom(buf)
	if err != nil || n != len(data) {
		t.Fatalf("%d bytes, %v", n, err)
	}
	sink.WriteTo(buf[:n], from)
	if _, got := u.receive(); !bytes.Equal(got, data) {
		t.Errorf("%d bytes came back", len(got))
	}
	sink.WriteTo(buf[:n+1], from) // no room for the header
	eventually.True(t, "dropped", func() bool { return p.Stats().Dropped == 1 })
	u.send(toAddr(sink), "")
	if n, _, err := sink.ReadFrom(buf); n != 0 || err != nil {
		t.Errorf("an empty datagram: %d, %v", n, err)
	}
}

func TestSourceIsPinned(t *testing.T) {
	leak.Check(t)
	p := run(t, newMesh(), withUDP(newMesh(), nil))
	sink := listenUDP(t)
	heard := func(want string) {
		t.Helper()
		buf := make([]byte, 100)
		if n, _, err := sink.ReadFrom(buf); err != nil || string(buf[:n]) != want {
			t.Fatalf("%q, %v; want %q", buf[:n], err, want)
		}
	}
	u := p.associate(t)
	u.send(toAddr(sink), "first")
	heard("first")
	other := listenUDP(t)
	other.WriteTo(append(toAddr(sink), "stranger"...), u.relay)
	eventually.True(t, "the stranger is dropped", func() bool { return p.Stats().Dropped == 1 })
	u.send(toAddr(sink), "second")
	heard("second")

	announced := &udpClient{t: t, control: p.dial(t), udp: listenUDP(t)} // says its port beforehand
	reply := ask(t, announced.control, announced.udp.LocalAddr().String())
	announced.relay = &net.UDPAddr{IP: reply[4:8], Port: int(reply[8])<<8 | int(reply[9])}
	other.WriteTo(append(toAddr(sink), "stranger"...), announced.relay)
	eventually.True(t, "the stranger is dropped", func() bool { return p.Stats().Dropped == 2 })
	announced.send(toAddr(sink), "mine")
	heard("mine")
}

func TestDatagramsThatAreDropped(t *testing.T) {
	leak.Check(t)
	p := run(t, newMesh(), withUDP(newMesh(), nil))
	u := p.associate(t)
	sink := listenUDP(t)
	good := toAddr(sink)
	bad := [][]byte{
		{}, {0}, {0, 0, 0, 1}, good[:9], append([]byte{0, 0, 1}, good[3:]...), append([]byte{1, 0, 0}, good[3:]...),
		append([]byte{0, 0, 0x81}, good[3:]...), append([]byte{0, 0, 0, 2}, good[4:]...),
		toName("", 9), toName("a\nb", 9), toName("node1", 9)[:9], appendUDP(nil, netip.MustParseAddrPort("127.0.0.1:0")),
	}
	for _, b := range bad {
		u.send(b, "")
	}
	eventually.True(t, "all dropped", func() bool { return p.Stats().Dropped == int64(len(bad)) })
	u.send(good, "good")
	buf := make([]byte, 10)
	if n, _, err := sink.ReadFrom(buf); err != nil || string(buf[:n]) != "good" {
		t.Errorf("%q, %v", buf[:n], err)
	}
}

func TestNamesOfUDPTargets(t *testing.T) {
	leak.Check(t)
	m := newMesh()
	p := run(t, m, withUDP(m, map[string]string{"node1": "127.0.0.1"}))
	u := p.associate(t)
	s := answers(t)
	port := uint16(s.LocalAddr().(*net.UDPAddr).Port)
	for _, name := range []string{"node1", "node1", "127.0.0.1", "127.0.0.1.", "::ffff:127.0.0.1", "[::ffff:127.0.0.1]"} {
		u.send(toName("nobody", port), "lost")
		u.send(toName(name, port), "hi")
		if from, data := u.receive(); from != s.LocalAddr().String() || !strings.HasSuffix(string(data), " hi") {
			t.Errorf("%s: from %s: %q", name, from, data)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := strings.Count(strings.Join(m.dialed, " "), "node1"); n != 1 {
		t.Errorf("node1 was looked up %d times in a moment: %v", n, m.dialed)
	}
}

func TestAssociationEndsWithItsConnection(t *testing.T) {
	leak.Check(t)
	p := run(t, newMesh(), withUDP(newMesh(), nil))
	files := openFiles(t)
	u := p.associate(t)
	u.control.Close()
	eventually.True(t, "the association is gone", func() bool { return p.Stats().Associations == 0 })
	eventually.True(t, "its sockets too", func() bool { return openFiles(t) <= files+1 }) // +1: the client's own
	if c, err := net.ListenUDP("udp4", u.relay); err != nil {
		t.Errorf("the relay's port is not free: %v", err)
	} else {
		c.Close()
	}
	p.associate(t)
	if err := p.stop(); err != nil { // ends with Serve, too
		t.Error(err)
	}
}

func TestSilentAssociationIsEnded(t *testing.T) {
	leak.Check(t)
	p := run(t, newMesh(), func(c *Config) {
		withUDP(newMesh(), nil)(c)
		c.UDPIdleTimeout = 300 * time.Millisecond
	})
	u := p.associate(t)
	sink := listenUDP(t)
	pace := time.NewTicker(20 * time.Millisecond)
	defer pace.Stop()
	for range 30 { // 600 ms, twice the limit
		u.send(toAddr(sink), "x")
		<-pace.C
	}
	if p.Stats().Associations != 1 {
		t.Fatal("ended although it was used")
	}
	hearEOF(t, u.control)
	eventually.True(t, "gone", func() bool { return p.Stats().Associations == 0 })
}

func TestAssociationsThatAreRefused(t *testing.T) {
	leak.Check(t)
	full := run(t, newMesh(), func(c *Config) {
		withUDP(newMesh(), nil)(c)
		c.MaxAssociations = 1
	})
	old := full.associate(t)
	c := full.dial(t)
	if reply := ask(t, c, "0.0.0.0:0"); reply[1] != replyFailed {
		t.Errorf("reply %x beyond the limit", reply)
	}
	sink := listenUDP(t)
	old.send(toAddr(sink), "x")
	if n, _, err := sink.ReadFrom(make([]byte, 9)); n != 1 || err != nil {
		t.Errorf("the old one is broken: %v", err)
	}
	broken := run(t, newMesh(), func(c *Config) {
		withUDP(newMesh(), nil)(c)
		c.ListenPacket = func(context.Context) (datagram.Conn, error) {
			return nil, mesh.Errorf(mesh.Denied, "no UDP for you")
		}
	})
	if reply := ask(t, broken.dial(t), "0.0.0.0:0"); reply[1] != replyNotAllowed {
		t.Errorf("reply %x", reply)
	}
}

// FuzzUDPHeader checks that a header that parses has a target, and parses to the same target after
// it is written again.
func FuzzUDPHeader(f *testing.F) {
	f.Add(appendUDP(nil, netip.MustParseAddrPort("127.0.0.1:53")))
	f.Add(append(appendUDP(nil, netip.MustParseAddrPort("[fd00::1]:53")), "data"...))
	f.Add(toName("node1", 7))
	f.Fuzz(func(t *testing.T, p []byte) {
		to, data, err := parseUDP(p)
		if err != nil {
			if mesh.KindOf(err) != mesh.Invalid {
				t.Errorf("kind of %v", err)
			}
			return
		}
		if to.port == 0 || to.addr.IsValid() == (to.name != "") || !bytes.HasSuffix(p, data) {
			t.Fatalf("%+v of %x", to, p)
		}
		if to.addr.IsValid() {
			again, rest, err := parseUDP(append(appendUDP(nil, netip.AddrPortFrom(to.addr, to.port)), data...))
			if err != nil || again != to || !bytes.Equal(rest, data) {
				t.Errorf("%v becomes %v, %v", to, again, err)
			}
		}
	})
}

func BenchmarkAssociation(b *testing.B) {
	p := run(b, newMesh(), withUDP(newMesh(), nil))
	u := p.associate(b)
	s := answers(b)
	header := toAddr(s)
	for b.Loop() {
		u.send(bytes.Clone(header), "x")
		u.receive()
	}
}

// failing is a socket whose reads fail with a transient error.
type failing struct {
	closed chan struct{}
	reads  atomic.Int64
}

func (f *failing) ReadFromUDPAddrPort([]byte) (int, netip.AddrPort, error) {
	f.reads.Add(1)
	select {
	case <-f.closed:
		return 0, netip.AddrPort{}, net.ErrClosed
	case <-time.After(time.Millisecond):
		return 0, netip.AddrPort{}, errors.New("passes")
	}
}

func (f *failing) WriteToUDPAddrPort([]byte, netip.AddrPort) (int, error) {
	return 0, errors.New("cannot")
}
func (f *failing) LocalAddr() net.Addr { return &net.UDPAddr{} }
func (f *failing) Close() error        { close(f.closed); return nil }

func TestErrorsOfOneTargetDoNotEndTheAssociation(t *testing.T) {
	leak.Check(t)
	outside := &failing{closed: make(chan struct{})}
	p := run(t, newMesh(), func(c *Config) {
		withUDP(newMesh(), nil)(c)
		c.ListenPacket = func(context.Context) (datagram.Conn, error) { return outside, nil }
	})
	u := p.associate(t)
	u.send(appendUDP(nil, netip.MustParseAddrPort("192.0.2.1:9")), "x")
	eventually.True(t, "dropped", func() bool { return p.Stats().Dropped == 1 })
	failed := outside.reads.Load()
	eventually.True(t, "further reads failed", func() bool { return outside.reads.Load() > failed+2 })
	if p.Stats().Associations != 1 {
		t.Error("the association ended")
	}
	u.control.Close()
	eventually.True(t, "gone", func() bool { return p.Stats().Associations == 0 })
}
