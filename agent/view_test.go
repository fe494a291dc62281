package agent

import (
	"net/netip"
	"os"
	"path/filepath"
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

func TestFind(t *testing.T) {
	v := newView(testMap(), advertise(t, "10.7.0.0/24=192.168.5.0/24"))
	for _, tt := range []struct {
		addr  string
		want  where
		node  string
		local string
	}{
		{"100.64.0.9", self, "laptop", ""},
		{"fd00:1::9", self, "laptop", ""},
		{"100.64.0.1", peer, "node1", ""},
		{"172.28.0.77", peer, "node2", ""},
		{"10.7.0.5", behindMe, "laptop", "192.168.5.5"},
		{"100.64.3.3", nobody, "", ""},
		{"192.0.2.1", outside, "", ""},
		{"172.25.0.1", outside, "", ""},
		{"127.0.0.1", outside, "", ""},
	} {
		got, node, local := v.find(netip.MustParseAddr(tt.addr))
		name := ""
		if node != nil {
			name = node.Name
		}
		if got != tt.want || name != tt.node || tt.local != "" && local.String() != tt.local {
			t.Errorf("find(%s) = %v %q %v, want %v %q %s", tt.addr, got, name, local, tt.want, tt.node, tt.local)
		}
	}
}

func TestTheMapCannotMakeANodeRouteWhatItsUserDidNotName(t *testing.T) {
	m := testMap()
	m.Self.Prefixes = prefixes("10.7.0.0/24", "192.168.0.0/16")
	v := newView(m, advertise(t, "10.7.0.0/24", "10.8.0.0/24"))
	if len(v.granted) != 1 || v.granted[0].Prefix.String() != "10.7.0.0/24" {
		t.Errorf("granted = %v", v.granted)
	}
	want := prefixes("100.64.0.9/32", "fd00:1::9/128", "10.7.0.0/24")
	if got := v.inbound(); !slices.Equal(got, want) {
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
	v := newView(m, advertise(t, "10.7.0.0/24"))
	if len(v.Peers) != 3 {
		t.Fatalf("%d peers, want 3", len(v.Peers))
	}
	evil := v.Peers[2]
	if !slices.Equal(evil.Addresses, addrs("100.64.0.3")) || !slices.Equal(evil.Prefixes, prefixes("10.9.0.0/24")) {
		t.Errorf("kept %v %v", evil.Addresses, evil.Prefixes)
	}
	if len(v.left) != 9 {
		t.Errorf("%d things left out, want 9:\n%s", len(v.left), strings.Join(v.left, "\n"))
	}
}

func TestStaticMap(t *testing.T) {
	own := mesh.Key{7}
	wanted := []mesh.Advertisement{{Prefix: netip.MustParsePrefix("172.30.0.0/24"), Local: netip.MustParsePrefix("172.30.0.0/24")}}
	other, third := mesh.Key{8}.String(), mesh.Key{9}.String()
	const self = `{"self":{"name":"a","addresses":["10.1.0.1"]}`
	peers := func(nodes ...string) string { return self + `,"peers":[` + strings.Join(nodes, ",") + `]}` }
	peer := func(name, key, more string) string { return `{"name":"` + name + `","key":"` + key + `",` + more + `}` }
	for _, tt := range []struct{ name, json, err string }{
		{"good", peers(peer("b", other, `"addresses":["10.1.0.2"],"prefixes":["172.24.0.0/24"],"endpoints":["192.0.2.1:51820"]`)), ""},
		{"other key", `{"self":{"name":"a","key":"` + other + `","addresses":["10.1.0.1"]}}`, "nexd key prints it"},
		{"no address", `{"self":{"name":"a"}}`, "at least one address"},
		{"peer without address", peers(`{"name":"b","key":"` + other + `"}`), "at least one address"},
		{"twice", peers(peer("a", other, `"addresses":["10.1.0.2"]`)), "used twice"},
		{"no key", self + `,"peers":[{"name":"b"}]}`, "no key"},
		{"key twice", peers(peer("b", other, `"addresses":["10.1.0.2"]`), peer("c", other, `"addresses":["10.1.0.3"]`)), "nodes b and c have the same key"},
		{"own key", peers(peer("b", own.String(), `"addresses":["10.1.0.2"]`)), "nodes a and b have the same key"},
		{"not a key", peers(peer("b", "KEY-OF-NODE1=", `"addresses":["10.1.0.2"]`)), "KEY-OF-NODE1="},
		{"not a name", peers(peer("b c", other, `"addresses":["10.1.0.2"]`)), `"b c"`},
		{"upper case", peers(peer("B", other, `"addresses":["10.1.0.2"]`)), `"B"`},
		{"address twice", peers(peer("b", other, `"addresses":["10.1.0.1"]`)), "another node has it"},
		{"loopback", peers(peer("b", other, `"addresses":["127.0.0.1"]`)), "127.0.0.1"},
		{"host bits", peers(peer("b", other, `"addresses":["10.1.0.2"],"prefixes":["172.24.0.1/24"]`)), "172.24.0.1/24 of b"},
		{"default route", peers(peer("b", other, `"addresses":["10.1.0.2"],"prefixes":["0.0.0.0/0"]`)), "0.0.0.0/0 of b"},
		{"overlap", peers(peer("b", other, `"addresses":["10.1.0.2"],"prefixes":["172.24.0.0/24"]`),
			peer("c", third, `"addresses":["10.1.0.3"],"prefixes":["172.24.0.0/25"]`)), "172.24.0.0/25 of c: it overlaps 172.24.0.0/24 of b"},
		{"own prefix", peers(peer("b", other, `"addresses":["10.1.0.2"],"prefixes":["172.30.0.0/16"]`)), "this node's own 172.30.0.0/24"},
		{"no port", peers(peer("b", other, `"addresses":["10.1.0.2"],"endpoints":["192.0.2.1:0"]`)), "192.0.2.1:0"},
		{"endpoint by name", peers("\n" + peer("b", other, `"addresses":["10.1.0.2"],"endpoints":["node1.example.org:1"]`)), "line"},
		{"typo", `{"self":{"name":"a","adresses":["10.1.0.1"]}}`, "adresses"},
		{"second map", self + "}\n" + self + "}", "something follows"},
		{"comma", "{\n\"peers\": [],\n}", "line 3"},
		{"empty", "\n", "empty"},
		{"not json", `hello`, "invalid"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "map.json")
			if err := os.WriteFile(path, []byte(tt.json), 0o600); err != nil {
				t.Fatal(err)
			}
			m, err := readStaticMap(path, own, wanted)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) || !strings.Contains(err.Error(), path) {
					t.Fatalf("error = %v, want one with %q and the path", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if m.Self.Key != own || m.Self.ID != "a" || len(m.Pools) != 2 || m.Peers[0].ID != "b" {
				t.Errorf("map = %+v", m)
			}
		})
	}
	if _, err := readStaticMap(filepath.Join(t.TempDir(), "none"), own, nil); err == nil {
		t.Error("a missing file is no error")
	}
}
