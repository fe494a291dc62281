package agent

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"nexd/internal/datagram"
	"nexd/internal/leak"
	"nexd/internal/testmap"
	"nexd/mesh"
	"nexd/netmap"
)

// fakeNode is a node that records dials and opens UDP sockets of the loopback.
type fakeNode struct {
	view     *netmap.View
	asked    []string // dials
	listened []string // network and address
}

func (f *fakeNode) View() *netmap.View        { return f.view }
func (f *fakeNode) Unrouted(netip.Addr) error { return nil }

func (f *fakeNode) DialContext(_ context.Context, network, to string) (net.Conn, error) {
	if _, err := f.view.Route(netip.MustParseAddrPort(to).Addr()); err != nil {
		return nil, err
	}
	return f.dial("node-"+network, to)
}

func (f *fakeNode) dial(network, to string) (net.Conn, error) {
	f.asked = append(f.asked, network+" "+to)
	return &net.TCPConn{}, nil
}

func (f *fakeNode) ListenPacket(network, address string) (net.PacketConn, error) {
	f.listened = append(f.listened, network+" "+address)
	return net.ListenPacket("udp4", "127.0.0.1:0")
}

func testProxyDialer(t *testing.T, f *fakeNode, direct bool) *proxyDialer {
	out := new(atomic.Bool)
	out.Store(direct)
	host := func(_ context.Context, network, to string) (net.Conn, error) { return f.dial("host-"+network, to) }
	return &proxyDialer{node: f, direct: out, host: host, lookup: func(_ context.Context, _, host string) ([]netip.Addr, error) {
		switch host {
		case "example.com":
			return []netip.Addr{netip.MustParseAddr("192.0.2.80")}, nil
		case "inward.example": // a public name for something in the mesh
			return []netip.Addr{netip.MustParseAddr("172.24.0.10")}, nil
		case "localhost":
			return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
		}
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}}
}

func TestWhatLeavesTheMesh(t *testing.T) {
	for _, tt := range []struct {
		address         string
		direct, refused string // what is dialed with --proxy-outside=direct and =refuse
		kind            mesh.Kind
	}{
		{"node1:80", "node-tcp 100.64.0.1:80", "node-tcp 100.64.0.1:80", 0},
		{"172.24.0.10:80", "node-tcp 172.24.0.10:80", "node-tcp 172.24.0.10:80", 0},
		{"10.7.0.5:80", "node-tcp 10.7.0.5:80", "node-tcp 10.7.0.5:80", 0},
		{"192.0.2.1:80", "host-tcp 192.0.2.1:80", "", mesh.Denied},
		{"[2001:db8::1]:80", "host-tcp [2001:db8::1]:80", "", mesh.Denied},
		{"example.com:443", "host-tcp 192.0.2.80:443", "", mesh.NotFound},
		{"inward.example:80", "node-tcp 172.24.0.10:80", "", mesh.NotFound},
		{"nobody.example:80", "", "", mesh.NotFound},
		{"localhost:22", "", "", mesh.NotFound},
		{"127.0.0.1:22", "", "", mesh.Denied},
		{"[::]:22", "", "", mesh.Denied},
		{"169.254.169.254:80", "", "", mesh.Denied},
		{"100.64.77.1:80", "", "", mesh.NotFound},
		{"x:0", "", "", mesh.Invalid},
		{"x", "", "", mesh.Invalid},
	} {
		for direct, want := range map[bool]string{true: tt.direct, false: tt.refused} {
			f := &fakeNode{view: testView(testmap.Advertise(t, "10.7.0.0/24=192.168.5.0/24"))}
			_, err := testProxyDialer(t, f, direct).dial(t.Context(), "tcp", tt.address)
			if got := strings.Join(f.asked, ", "); got != want || (err != nil) != (want == "") || !direct && err != nil && mesh.KindOf(err) != tt.kind {
				t.Errorf("%s, direct %v: asked %q, error %v (%v); want %q", tt.address, direct, got, err, mesh.KindOf(err), want)
			}
			if err != nil && !direct && tt.address == "example.com:443" && !strings.Contains(err.Error(), "--proxy-outside=direct") {
				t.Errorf("the refusal does not name the way out: %v", err)
			}
		}
	}
}

// TestPacketsGoWhereTheMapSays has loopback stand for the mesh and for the network
// behind this node.
func TestPacketsGoWhereTheMapSays(t *testing.T) {
	leak.Check(t)
	f := &fakeNode{view: testView(testmap.Advertise(t, "10.7.0.0/24=127.0.5.0/24"))}
	p := newPackets(testProxyDialer(t, f, false))
	defer p.Close()
	behind, err := net.ListenPacket("udp4", "127.0.5.5:0")
	if err != nil {
		t.Skip("127.0.5.5 is no address of this system: ", err)
	}
	defer behind.Close()
	port := uint16(behind.LocalAddr().(*net.UDPAddr).Port)
	to := netip.AddrPortFrom(netip.MustParseAddr("10.7.0.5"), port)
	if _, err := p.WriteToUDPAddrPort([]byte("hello"), to); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	n, from, err := behind.ReadFrom(buf)
	if err != nil || string(buf[:n]) != "hello" {
		t.Fatalf("%q, %v", buf[:n], err)
	}
	behind.WriteTo([]byte("answer"), from)
	if n, from, err := p.ReadFromUDPAddrPort(buf); err != nil || string(buf[:n]) != "answer" || from != to {
		t.Errorf("%q from %v, %v; want it from %v", buf[:n], from, err, to)
	}
	for target, kind := range map[string]mesh.Kind{"192.0.2.1:9": mesh.Denied, "100.64.77.1:9": mesh.NotFound} {
		if _, err := p.WriteToUDPAddrPort(nil, netip.MustParseAddrPort(target)); mesh.KindOf(err) != kind {
			t.Errorf("to %s: %v", target, err)
		}
	}
	if len(f.listened) != 0 {
		t.Errorf("mesh sockets %v were opened for nothing", f.listened)
	}
	p.WriteToUDPAddrPort([]byte("x"), netip.MustParseAddrPort("172.24.0.10:9")) // loopback cannot send there; the socket counts
	p.WriteToUDPAddrPort([]byte("x"), netip.MustParseAddrPort("172.24.0.11:9"))
	p.WriteToUDPAddrPort([]byte("x"), netip.MustParseAddrPort("[fd00:1::9]:9"))
	if len(f.listened) != 2 || f.listened[0] != "udp4 0.0.0.0:0" || !strings.HasPrefix(f.listened[1], "udp6 [::]:") || strings.HasSuffix(f.listened[1], ":0") {
		t.Errorf("mesh sockets %v, want one of each family on one port", f.listened)
	}
}

// TestPacketsAreWaitedForWithoutABuffer: a proxy that waits for the mesh holds no
// 64 KiB for each association.
func TestPacketsAreWaitedForWithoutABuffer(t *testing.T) {
	leak.Check(t)
	far, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	p := newPackets(testProxyDialer(t, &fakeNode{view: testView(nil)}, false))
	s, err := p.socket(socketKind{mesh: true})
	if err != nil {
		t.Fatal(err)
	}
	woke := make(chan error)
	wait := datagram.Waiter(p)
	go func() { woke <- wait() }()
	select {
	case err := <-woke:
		t.Fatalf("woke with nothing there: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	far.WriteTo([]byte("one"), s.LocalAddr())
	far.WriteTo([]byte("two"), s.LocalAddr())
	if err := <-woke; err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 10)
	for _, want := range []string{"one", "two"} {
		if n, _, err := p.ReadFromUDPAddrPort(buf); err != nil || string(buf[:n]) != want {
			t.Errorf("%q, %v; want %q", buf[:n], err, want)
		}
	}
	go func() { woke <- wait() }()
	p.Close()
	if err := <-woke; !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestCheckProxies(t *testing.T) {
	for _, tt := range []struct {
		listen []string
		cfg    ProxyConfig
		fault  string
	}{
		{[]string{"127.0.0.1:1080", "[::1]:1080", "localhost:1", "unix:/run/p", "/run/q"}, ProxyConfig{}, ""},
		{[]string{"off"}, ProxyConfig{}, ""},
		{[]string{"off", "127.0.0.1:1"}, ProxyConfig{}, "cannot be combined"},
		{[]string{"0.0.0.0:1080"}, ProxyConfig{}, "--proxy-allow-open"},
		{[]string{"192.0.2.1:1080"}, ProxyConfig{}, "--proxy-auth-file"},
		{[]string{"0.0.0.0:1080"}, ProxyConfig{AllowOpen: true}, ""},
		{[]string{"[::]:1080"}, ProxyConfig{AuthFile: "f"}, ""},
		{[]string{"unix:"}, ProxyConfig{}, "bytes"},
		{[]string{"1080"}, ProxyConfig{}, "must be ADDRESS:PORT"},
	} {
		err := CheckProxies(tt.listen, tt.cfg)
		if (err != nil) != (tt.fault != "") || err != nil && !strings.Contains(err.Error(), tt.fault) {
			t.Errorf("%v: %v, want %q", tt.listen, err, tt.fault)
		}
	}
}

func TestReadProxyUsers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users")
	if _, err := ReadProxyUsers(path); err == nil || !strings.Contains(err.Error(), "--proxy-auth-file") {
		t.Errorf("no file: %v", err)
	}
	if err := os.WriteFile(path, []byte("ada:open\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if u, err := ReadProxyUsers(path); err != nil || !u.Check("ada", "open") {
		t.Error(err)
	}
}
