package node

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"nexd/internal/testmap"
	"nexd/mesh"
	"nexd/netmap"
)

// fakeMesh answers dials with a record of what was asked.
type fakeMesh struct {
	asked []string
	fail  map[string]error
}

type fakeConn struct{ net.Conn }

func (f *fakeMesh) dial(network, to string) (net.Conn, error) {
	f.asked = append(f.asked, network+" "+to)
	if err := f.fail[to]; err != nil {
		return nil, err
	}
	return fakeConn{}, nil
}

func (f *fakeMesh) DialTCP(_ context.Context, to netip.AddrPort) (net.Conn, error) {
	return f.dial("mesh-tcp", to.String())
}

func (f *fakeMesh) DialUDP(_ context.Context, to netip.AddrPort) (net.Conn, error) {
	return f.dial("mesh-udp", to.String())
}

func testDialer(t *testing.T, f *fakeMesh) *dialer {
	v := testView(testmap.Advertise(t, "10.7.0.0/24=192.168.5.0/24"))
	return &dialer{
		view:     func() *netmap.View { return v },
		mesh:     f,
		host:     func(_ context.Context, network, to string) (net.Conn, error) { return f.dial("host-"+network, to) },
		unrouted: func(netip.Addr) error { return nil },
	}
}

func TestDialGoesWhereTheMapSays(t *testing.T) {
	for _, tt := range []struct {
		network, address string
		want             string // dials, joined
		kind             mesh.Kind
	}{
		{"tcp", "node1:80", "mesh-tcp 100.64.0.1:80", 0},
		{"tcp", "NODE1.nexd.internal.:80", "mesh-tcp 100.64.0.1:80", 0},
		{"udp", "172.24.0.10:53", "mesh-udp 172.24.0.10:53", 0},
		{"tcp", "[::ffff:172.24.0.10]:80", "mesh-tcp 172.24.0.10:80", 0},
		{"tcp", "laptop:22", "mesh-tcp 100.64.0.9:22", 0},
		{"tcp", "[fd00:1::9]:22", "mesh-tcp [fd00:1::9]:22", 0},
		{"tcp", "10.7.0.5:80", "host-tcp 192.168.5.5:80", 0},
		{"tcp", "192.0.2.1:80", "", mesh.Denied},
		{"tcp", "127.0.0.1:80", "", mesh.Denied},
		{"tcp", "100.64.77.1:80", "", mesh.NotFound},
		{"tcp", "node9:80", "", mesh.NotFound},
		{"tcp", "example.com:80", "", mesh.NotFound},
		{"tcp", "node1", "", mesh.Invalid},
		{"tcp", "node1:0", "", mesh.Invalid},
		{"tcp", "node1:http", "", mesh.Invalid},
		{"tcp", "node1:65536", "", mesh.Invalid},
		{"icmp", "node1:1", "", mesh.Invalid},
		{"tcp46", "node1:1", "", mesh.Invalid},
		{"", "node1:1", "", mesh.Invalid},
		{"tcp6", "laptop:22", "mesh-tcp [fd00:1::9]:22", 0},
		{"tcp4", "laptop:22", "mesh-tcp 100.64.0.9:22", 0},
		{"udp4", "10.7.0.5:53", "host-udp 192.168.5.5:53", 0},
		{"udp6", "node1:53", "", mesh.NotFound},
	} {
		f := &fakeMesh{}
		_, err := testDialer(t, f).dial(t.Context(), tt.network, tt.address)
		if got := strings.Join(f.asked, ", "); got != tt.want || (err != nil) != (tt.want == "") || err != nil && mesh.KindOf(err) != tt.kind {
			t.Errorf("dial %s %s: asked %q, error %v (%v); want %q, %v", tt.network, tt.address, got, err, mesh.KindOf(err), tt.want, tt.kind)
		}
	}
}

func TestDialTriesEveryAddressOfAName(t *testing.T) {
	f := &fakeMesh{fail: map[string]error{"100.64.0.9:22": syscall.ECONNREFUSED}}
	if _, err := testDialer(t, f).dial(t.Context(), "tcp", "laptop:22"); err != nil || len(f.asked) != 2 {
		t.Errorf("error %v after %v", err, f.asked)
	}
	f.fail["[fd00:1::9]:22"] = syscall.EHOSTUNREACH
	_, err := testDialer(t, f).dial(t.Context(), "tcp", "laptop:22")
	if !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("both failing: %v does not show the first cause", err)
	}
}

func TestDialBeforeTheFirstMap(t *testing.T) {
	d := &dialer{view: func() *netmap.View { return netmap.New(nil) }}
	for _, addr := range []string{"node1:80", "100.64.0.1:80"} {
		if _, err := d.dial(t.Context(), "tcp", addr); mesh.KindOf(err) != mesh.Unavailable {
			t.Errorf("dial %s = %v, want Unavailable", addr, err)
		}
	}
}
