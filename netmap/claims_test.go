package netmap

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"nexd/internal/testmap"
	"nexd/mesh"
)

// viewOf is the view of a node that wants to advertise wanted and gets m first.
func viewOf(m *mesh.NetworkMap, wanted []mesh.Advertisement) *View {
	v, _ := New(wanted).Replace(m)
	return v
}

func TestFind(t *testing.T) {
	v := viewOf(testmap.Laptop(), testmap.Advertise(t, "10.7.0.0/24=192.168.5.0/24"))
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
	m := testmap.Laptop()
	m.Self.Prefixes = testmap.Prefixes("10.7.0.0/24", "192.168.0.0/16")
	v := viewOf(m, testmap.Advertise(t, "10.7.0.0/24", "10.8.0.0/24"))
	if len(v.Granted) != 1 || v.Granted[0].Prefix.String() != "10.7.0.0/24" {
		t.Errorf("granted = %v", v.Granted)
	}
	want := testmap.Prefixes("100.64.0.9/32", "fd00:1::9/128", "10.7.0.0/24")
	if got := v.Inbound(); !slices.Equal(got, want) {
		t.Errorf("inbound = %v, want %v", got, want)
	}
}

func TestAMapThatCannotBeRightIsTakenWithoutItsFaults(t *testing.T) {
	m := testmap.Laptop()
	m.Peers = append(m.Peers,
		mesh.Node{ID: "x", Name: "evil", Key: mesh.Key{3},
			Addresses: testmap.Addrs("100.64.0.1", "100.64.0.9", "192.0.2.9", "100.64.0.3"),
			Prefixes:  testmap.Prefixes("0.0.0.0/0", "127.0.0.0/8", "169.254.0.0/16", "172.24.0.0/25", "100.64.0.0/12", "10.7.0.0/16", "10.9.0.0/24")},
		mesh.Node{ID: "y", Name: "me too", Key: mesh.Key{9}},
		mesh.Node{ID: "z", Name: "keyless"},
	)
	v := viewOf(m, testmap.Advertise(t, "10.7.0.0/24"))
	if len(v.Peers) != 3 {
		t.Fatalf("%d peers, want 3", len(v.Peers))
	}
	evil := v.Peers[2]
	if !slices.Equal(evil.Addresses, testmap.Addrs("100.64.0.3")) || !slices.Equal(evil.Prefixes, testmap.Prefixes("10.9.0.0/24")) {
		t.Errorf("kept %v %v", evil.Addresses, evil.Prefixes)
	}
	if len(v.Rejected) != 9 {
		t.Errorf("%d things left out, want 9:\n%s", len(v.Rejected), strings.Join(v.Rejected, "\n"))
	}
}
