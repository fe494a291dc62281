package netmap

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"nexd/mesh"
)

func addrs(ss ...string) (out []netip.Addr) {
	for _, s := range ss {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

func prefixes(ss ...string) (out []netip.Prefix) {
	for _, s := range ss {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func advertise(t *testing.T, ss ...string) (out []mesh.Advertisement) {
	t.Helper()
	for _, s := range ss {
		a, err := mesh.ParseAdvertisement(s)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, a)
	}
	return out
}

// testMap is a laptop (self) and two routers.
func testMap() *mesh.NetworkMap {
	return &mesh.NetworkMap{
		Version: mesh.Version{Epoch: "e", Rev: 1}, Organization: "default",
		Pools: prefixes("100.64.0.0/10", "fd00:1::/48"),
		Self:  mesh.Node{ID: "s", Name: "laptop", Key: mesh.Key{9}, Addresses: addrs("100.64.0.9", "fd00:1::9"), Prefixes: prefixes("10.7.0.0/24")},
		Peers: []mesh.Node{
			{ID: "a", Name: "node1", Key: mesh.Key{1}, Addresses: addrs("100.64.0.1"), Prefixes: prefixes("172.24.0.0/24")},
			{ID: "b", Name: "node2", Key: mesh.Key{2}, Addresses: addrs("100.64.0.2"), Prefixes: prefixes("172.28.0.0/24")},
		},
	}
}

// viewOf is the view of a node that wants to advertise wanted and gets m first.
func viewOf(m *mesh.NetworkMap, wanted []mesh.Advertisement) *View {
	v, _ := New(wanted).Replace(m)
	return v
}

func TestFind(t *testing.T) {
	v := viewOf(testMap(), advertise(t, "10.7.0.0/24=192.168.5.0/24"))
	for _, tt := range []struct {
		addr  string
		want  Place
		node  string
		local string
	}{
		{"100.64.0.9", Self, "laptop", ""},
		{"fd00:1::9", Self, "laptop", ""},
		{"100.64.0.1", Peer, "node1", ""},
		{"172.28.0.77", Peer, "node2", ""},
		{"10.7.0.5", Local, "laptop", "192.168.5.5"},
		{"100.64.3.3", Unassigned, "", ""},
		{"192.0.2.1", Outside, "", ""},
		{"172.25.0.1", Outside, "", ""},
		{"127.0.0.1", Outside, "", ""},
	} {
		got := v.Find(netip.MustParseAddr(tt.addr))
		name := ""
		if got.Node != nil {
			name = got.Node.Name
		}
		if got.Place != tt.want || name != tt.node || got.Local.IsValid() != (tt.local != "") || tt.local != "" && got.Local.String() != tt.local {
			t.Errorf("Find(%s) = %+v (%s), want %v %q %s", tt.addr, got, name, tt.want, tt.node, tt.local)
		}
	}
}

func TestTheMapCannotMakeANodeRouteWhatItsUserDidNotName(t *testing.T) {
	m := testMap()
	m.Self.Prefixes = prefixes("10.7.0.0/24", "192.168.0.0/16")
	v := viewOf(m, advertise(t, "10.7.0.0/24", "10.8.0.0/24"))
	if len(v.Granted) != 1 || v.Granted[0].Prefix.String() != "10.7.0.0/24" {
		t.Errorf("granted = %v", v.Granted)
	}
	want := prefixes("100.64.0.9/32", "fd00:1::9/128", "10.7.0.0/24")
	if got := v.Inbound(); !slices.Equal(got, want) {
		t.Errorf("inbound = %v, want %v", got, want)
	}
}

func TestAMapThatCannotBeRightIsTakenWithoutItsFaults(t *testing.T) {
	m := testMap()
	m.Peers = append(m.Peers,
		mesh.Node{ID: "x", Name: "evil", Key: mesh.Key{3},
			Addresses: addrs("100.64.0.1", "100.64.0.9", "192.0.2.9", "100.64.0.3"),
			Prefixes:  prefixes("0.0.0.0/0", "127.0.0.0/8", "169.254.0.0/16", "172.24.0.0/25", "100.64.0.0/12", "10.7.0.0/16", "10.9.0.0/24")},
		mesh.Node{ID: "y", Name: "me too", Key: mesh.Key{9}},
		mesh.Node{ID: "z", Name: "keyless"},
	)
	v := viewOf(m, advertise(t, "10.7.0.0/24"))
	if len(v.Peers) != 3 {
		t.Fatalf("%d peers, want 3", len(v.Peers))
	}
	evil := v.Peers[2]
	if !slices.Equal(evil.Addresses, addrs("100.64.0.3")) || !slices.Equal(evil.Prefixes, prefixes("10.9.0.0/24")) {
		t.Errorf("kept %v %v", evil.Addresses, evil.Prefixes)
	}
	if len(v.Rejected) != 9 {
		t.Errorf("%d things left out, want 9:\n%s", len(v.Rejected), strings.Join(v.Rejected, "\n"))
	}
}
