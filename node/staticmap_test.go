package node

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nexd/mesh"
)

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
		{"many endpoints", peers(peer("b", other, `"addresses":["10.1.0.2"],"endpoints":["192.0.2.1:1"`+strings.Repeat(`,"192.0.2.1:2"`, 16)+`]`)), "node b has 17 endpoints"},
		{"endpoint in its prefix", peers(peer("b", other, `"addresses":["10.1.0.2"],"prefixes":["192.0.2.0/24"],"endpoints":["192.0.2.1:51820"]`)), ""},
		{"endpoint in the mesh", peers(peer("b", other, `"addresses":["10.1.0.2"],"endpoints":["10.1.0.2:51820"]`)), "endpoint 10.1.0.2:51820 of b is in the range of the mesh's own addresses"},
		{"endpoint by name", peers("\n" + peer("b", other, `"addresses":["10.1.0.2"],"endpoints":["node1.example.org:1"]`)), "line"},
		{"typo", `{"self":{"name":"a","adresses":["10.1.0.1"]}}`, "adresses"},
		{"second map", self + "}\n" + self + "}", "unexpected data"},
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
