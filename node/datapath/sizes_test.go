package datapath

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"nexd/mesh"
	"nexd/netmap"
)

// TestSizesFollowTheMap joins measured sizes with the addresses of the map.
func TestSizesFollowTheMap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peer := func(n byte, prefixes ...string) mesh.Node {
			name := string(rune('a' + n))
			p := mesh.Node{ID: mesh.NodeID(name), Name: name, Key: mesh.Key{n}, Addresses: []netip.Addr{netip.AddrFrom4([4]byte{100, 64, 0, n}), netip.AddrFrom16([16]byte{0: 0xfd, 15: n})}}
			for _, s := range prefixes {
				p.Prefixes = append(p.Prefixes, netip.MustParsePrefix(s))
			}
			return p
		}
		view := func(peers ...mesh.Node) *netmap.View {
			v, _ := netmap.New(nil).Replace(&mesh.NetworkMap{
				Version: mesh.Version{Epoch: "e", Rev: 1}, Self: peer(1), Peers: peers,
				Pools: []netip.Prefix{netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("fd00::/48")},
			})
			return v
		}
		s := newPathSizes()
		want := func(sizes map[string]int) {
			t.Helper()
			for addr, size := range sizes {
				if got := s.paths.Fits(netip.MustParseAddr(addr)); got != size {
					t.Errorf("Fits(%s) = %d, want %d", addr, got, size)
				}
			}
		}
		s.set(mesh.Key{2}, 1300) // before there is a map
		s.setView(view(peer(2, "172.24.0.0/16", "fd77::/64"), peer(3, "172.25.0.0/24")))
		want(map[string]int{"100.64.0.2": 1300, "fd00::2": 1300, "172.24.0.1": 1300, "fd77::1": 1300, "172.25.0.1": 0, "100.64.0.3": 0})

		s.learn(netip.MustParseAddr("fd77::9"), 1340)
		want(map[string]int{"fd77::9": 1300})
		s.learn(netip.MustParseAddr("fd77::9"), 1280)
		want(map[string]int{"fd77::9": 1280, "fd77::1": 1300})
		s.set(mesh.Key{2}, 0)
		want(map[string]int{"fd77::9": 1280, "fd77::1": 0, "100.64.0.2": 0})
		time.Sleep(learnedLife + time.Second)
		s.expire(time.Now())
		want(map[string]int{"fd77::9": 0})

		s.set(mesh.Key{3}, 1200)
		want(map[string]int{"100.64.0.3": 1200, "172.25.0.1": 1200})
		s.setView(view(peer(2)))
		want(map[string]int{"100.64.0.3": 0})
		if len(s.largest) > 0 {
			t.Error("the size of a peer outlives the peer")
		}
	})
}
