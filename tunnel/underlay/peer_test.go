package underlay

import (
	"net/netip"
	"testing"

	"nexd/mesh"
)

func TestSetPeersIsTheWholeSet(t *testing.T) {
	b := offline(t)
	k1, k2 := mesh.Key{1}, mesh.Key{2}
	b.SetPeers([]Peer{{Key: k1}, {Key: b.key}, {Key: mesh.Key{}}, {Key: k1, Candidates: []netip.AddrPort{here}}})
	if len(b.peers.m) != 1 {
		t.Fatalf("%d peers; neither we nor nobody nor twice", len(b.peers.m))
	}
	p1 := b.peer(k1)
	b.indices.record(p1, 7, b.now())
	b.moved(p1, p1.endpoint(here, netip.Addr{}))
	b.SetPeers([]Peer{{Key: k1}, {Key: k2}})
	if st, ok := b.Path(k1); !ok || !st.Proved || st.Addr != here || st.Since.IsZero() {
		t.Errorf("a kept peer lost its path: %+v, %v", st, ok)
	}
	if st, ok := b.Path(k2); !ok || st.Proved || st.Addr.IsValid() {
		t.Errorf("a new peer has a path: %+v, %v", st, ok)
	}
	b.SetPeers([]Peer{{Key: k2}})
	if _, ok := b.Path(k1); ok || len(b.indices.m) != 0 || !p1.removed.Load() {
		t.Error("a removed peer is still known")
	}
	b.SetPeers([]Peer{{Key: k1}})
	old := p1.endpoint(here, netip.Addr{}) // what WireGuard may still hold
	if p := b.owner(old); p == nil || p == p1 || p != b.peer(k1) {
		t.Error("an old endpoint does not find the peer that came back")
	}
}
