package netmap

import (
	"errors"
	"net/netip"
	"slices"
	"syscall"
	"testing"

	"nexd/internal/testmap"
	"nexd/mesh"
)

func TestRouteSaysWhyAnAddressCannotBeReached(t *testing.T) {
	v := viewOf(testmap.Laptop(), nil)
	for _, tt := range []struct {
		addr string
		kind mesh.Kind
		err  error
	}{
		{"100.64.77.1", mesh.NotFound, syscall.EHOSTUNREACH},
		{"192.0.2.1", mesh.Denied, nil},
		{"10.7.0.5", mesh.Denied, nil}, // granted, but not wanted
	} {
		_, err := v.Route(netip.MustParseAddr(tt.addr))
		if mesh.KindOf(err) != tt.kind || tt.err != nil && !errors.Is(err, tt.err) {
			t.Errorf("Route(%s) = %v (%v), want %v", tt.addr, err, mesh.KindOf(err), tt.kind)
		}
	}
	if o, err := v.Route(netip.MustParseAddr("172.24.0.10")); err != nil || o.Node.Name != "node1" {
		t.Errorf("Route = %+v, %v", o, err)
	}
	if _, err := New(nil).Route(netip.MustParseAddr("100.64.0.1")); mesh.KindOf(err) != mesh.Unavailable {
		t.Errorf("before the first map: %v", err)
	}
}

func TestResolve(t *testing.T) {
	v := viewOf(testmap.Laptop(), nil)
	for _, tt := range []struct {
		host string
		want []netip.Addr
	}{
		{"node1", testmap.Addrs("100.64.0.1")},
		{"NODE1.nexd.internal.", testmap.Addrs("100.64.0.1")},
		{"laptop", testmap.Addrs("100.64.0.9", "fd00:1::9")},
		{"::ffff:192.0.2.1", testmap.Addrs("192.0.2.1")},
		{"fe80::1%eth0", testmap.Addrs("fe80::1")},
		{"192.0.2.1.", testmap.Addrs("192.0.2.1")},
		{"[fd00:1::9]", testmap.Addrs("fd00:1::9")},
		{"node3", nil},
		{"", nil},
		{"nexd.internal", nil},
	} {
		got, err := v.Resolve(tt.host)
		if !slices.Equal(got, tt.want) || (err != nil) != (tt.want == nil) || err != nil && mesh.KindOf(err) != mesh.NotFound {
			t.Errorf("Resolve(%q) = %v, %v; want %v", tt.host, got, err, tt.want)
		}
	}
	if _, err := New(nil).Resolve("node1"); mesh.KindOf(err) != mesh.Unavailable {
		t.Errorf("before the first map: %v", err)
	}
}

func TestSplitAddress(t *testing.T) {
	for _, tt := range []struct {
		address, host string
		port          uint16
	}{
		{"node1:80", "node1", 80}, {"[fd00::1]:65535", "fd00::1", 65535}, {":1", "", 1},
		{"node1", "", 0}, {"node1:0", "", 0}, {"node1:65536", "", 0}, {"node1:http", "", 0}, {"fd00::1:80", "", 0},
	} {
		host, port, err := SplitAddress(tt.address)
		if host != tt.host || port != tt.port || (err != nil) != (tt.port == 0) || err != nil && mesh.KindOf(err) != mesh.Invalid {
			t.Errorf("SplitAddress(%q) = %q, %d, %v", tt.address, host, port, err)
		}
	}
}

func TestSplitListenAddressTakesPortZero(t *testing.T) {
	if host, port, err := SplitListenAddress(":0"); host != "" || port != 0 || err != nil {
		t.Errorf("%q, %d, %v", host, port, err)
	}
	if _, _, err := SplitListenAddress(":-1"); mesh.KindOf(err) != mesh.Invalid {
		t.Errorf("port -1: %v", err)
	}
}

func TestToMeshIsTheReverseOfLocal(t *testing.T) {
	v := viewOf(testmap.Laptop(), testmap.Advertise(t, "10.7.0.0/24=192.168.5.0/24"))
	for local, want := range map[string]string{"192.168.5.5": "10.7.0.5", "192.168.6.5": "192.168.6.5"} {
		if got := v.ToMesh(netip.MustParseAddr(local)); got.String() != want {
			t.Errorf("ToMesh(%s) = %v, want %s", local, got, want)
		}
	}
}

func TestPooled(t *testing.T) {
	v := viewOf(testmap.Laptop(), testmap.Advertise(t, "10.7.0.0/24"))
	for a, want := range map[string]bool{
		"100.64.9.9": true, "fd00:1::77": true, "172.24.0.1": false, "10.7.0.1": false, "192.0.2.1": false,
	} {
		if got := v.Pooled(netip.MustParseAddr(a)); got != want {
			t.Errorf("Pooled(%s) = %v", a, got)
		}
	}
}

func TestEndpointsInPrefixes(t *testing.T) {
	m := testmap.Laptop()
	m.Self.Prefixes = append(m.Self.Prefixes, netip.MustParsePrefix("10.7.0.0/24"), netip.MustParsePrefix("10.9.0.0/24"))
	m.Peers[0].Endpoints = []netip.AddrPort{netip.MustParseAddrPort("10.7.0.5:51820"), netip.MustParseAddrPort("192.0.2.7:51820"), netip.MustParseAddrPort("192.168.5.6:51820"), netip.MustParseAddrPort("172.24.0.9:51820")}
	v := viewOf(m, testmap.Advertise(t, "10.7.0.0/24", "10.9.0.0/24=192.168.5.0/24"))
	got := v.Endpoints([]netip.AddrPort{netip.MustParseAddrPort("10.7.0.1:7"), netip.MustParseAddrPort("127.0.0.1:7")})
	want := []netip.AddrPort{netip.MustParseAddrPort("10.7.0.1:7"), netip.MustParseAddrPort("10.7.0.5:51820"), netip.MustParseAddrPort("10.9.0.6:51820"), netip.MustParseAddrPort("172.24.0.9:51820")}
	if !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}
