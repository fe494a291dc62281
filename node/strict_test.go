package node

import (
	"net/netip"
	"strings"
	"testing"

	"nexd/mesh"
	"nexd/netmap"
)

func TestStrictReversePathFilteringIsNamed(t *testing.T) {
	m := &mesh.NetworkMap{
		Self:  mesh.Node{ID: "a", Name: "a", Key: mesh.Key{1}, Addresses: []netip.Addr{netip.MustParseAddr("100.64.0.1")}},
		Pools: []netip.Prefix{netip.MustParsePrefix("100.64.0.0/10")},
		Peers: []mesh.Node{{
			ID: "r", Name: "r", Key: mesh.Key{2}, Addresses: []netip.Addr{netip.MustParseAddr("100.64.0.2")},
			Prefixes: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}, Endpoints: []netip.AddrPort{netip.MustParseAddrPort("10.1.0.2:51820")},
		}, {
			ID: "b", Name: "b", Key: mesh.Key{3}, Addresses: []netip.Addr{netip.MustParseAddr("100.64.0.3")},
			Endpoints: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.2:51820")},
		}},
	}
	v, _ := netmap.New(nil).Replace(m)
	peers := func(path string) []PeerStatus {
		return []PeerStatus{{Identity: Identity{ID: "r"}, Path: path}, {Identity: Identity{ID: "b"}, Path: path}}
	}
	for _, tt := range []struct {
		path   string
		strict []string
		want   string
	}{
		{"relay", []string{"eth0", "eth1"}, "10.1.0.2, which is in a prefix of the mesh; set net.ipv4.conf.eth0.rp_filter=2 and net.ipv4.conf.eth1.rp_filter=2"},
		{"none", []string{"eth0"}, "no direct path to r"},
		{"direct", []string{"eth0"}, ""},
		{"idle", []string{"eth0"}, ""},
		{"relay", nil, ""},
	} {
		var lines []string
		for _, p := range unfiltered(v, peers(tt.path), tt.strict) {
			lines = append(lines, p.String())
		}
		got := strings.Join(lines, "\n")
		if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) || strings.Contains(got, "\n") {
			t.Errorf("%s, strict on %v: %q", tt.path, tt.strict, got)
		}
	}
}
