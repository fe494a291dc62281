package underlay

import (
	"net/netip"
	"slices"
	"testing"

	"nexd/mesh"
)

func ap(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

func TestClean(t *testing.T) {
	in := []netip.AddrPort{
		{}, ap("0.0.0.0:1"), ap("[::]:1"), ap("224.0.0.1:1"), ap("[ff02::1]:1"), ap("10.0.0.1:0"),
		ap("[::ffff:10.0.0.1]:5"), ap("10.0.0.1:5"), ap("10.0.0.1:6"), ap("[2001:db8::1]:5"), ap("127.0.0.1:5"),
	}
	want := []netip.AddrPort{ap("10.0.0.1:5"), ap("10.0.0.1:6"), ap("[2001:db8::1]:5"), ap("127.0.0.1:5")}
	if got := clean(in); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	var many []netip.AddrPort
	for i := range 100 {
		many = append(many, netip.AddrPortFrom(netip.MustParseAddr("10.0.0.1"), uint16(i+1)))
	}
	if got := clean(many); len(got) != MaxCandidates {
		t.Errorf("%d candidates kept", len(got))
	}
}

func TestSetPeersIsTheWholeSet(t *testing.T) {
	b := offline(t)
	k1, k2 := mesh.Key{1}, mesh.Key{2}
	b.SetPeers([]Peer{{Key: k1}, {Key: b.key}, {Key: mesh.Key{}}, {Key: k1, Candidates: []netip.AddrPort{here}}})
	if len(b.peers.m) != 1 {
		t.Fatalf("%d peers; neither we nor nobody nor twice", len(b.peers.m))
	}
	p1 := b.peer(k1)
	b.indices.record(p1, 7, b.now())
	b.moved(p1, p1.endpoint(here))
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
	old := p1.endpoint(here) // what WireGuard may still hold
	if p := b.owner(old); p == nil || p == p1 || p != b.peer(k1) {
		t.Error("an old endpoint does not find the peer that came back")
	}
}
