package underlay

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"nexd/mesh"
)

func ap(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

func TestWhereInitiationsGo(t *testing.T) {
	c1, c2, path := ap("10.0.0.1:1"), ap("10.0.0.2:1"), ap("192.0.2.1:77")
	second := int64(time.Second)
	unproved := func(*peer) *endpoint { return &endpoint{key: mesh.Key{1}} }
	heardAt := func(at int64, addr netip.AddrPort) func(*peer) *endpoint {
		return func(p *peer) *endpoint {
			e := p.endpoint(addr)
			e.heard.Store(at)
			p.moved(e, at)
			return e
		}
	}
	for _, tt := range []struct {
		name  string
		e     func(*peer) *endpoint
		asked int64 // the initiation before
		want  []netip.AddrPort
	}{
		{"nothing known of the path", unproved, 0, []netip.AddrPort{c1, c2}},
		{"path heard just now", heardAt(100*second, path), 0, []netip.AddrPort{path}},
		{"path heard since the last question", heardAt(99*second, path), 98 * second, []netip.AddrPort{path}},
		{"last question unanswered", heardAt(94*second, path), 95 * second, []netip.AddrPort{c1, c2, path}},
		{"last question unanswered and long ago", heardAt(9*second, path), 10 * second, []netip.AddrPort{path, c1, c2}},
		{"path silent for long", heardAt(60*second, path), 0, []netip.AddrPort{path, c1, c2}},
		{"path never heard", heardAt(0, path), 0, []netip.AddrPort{path, c1, c2}},
		{"silent path that is a candidate", heardAt(60*second, c2), 0, []netip.AddrPort{c2, c1}},
		{"WireGuard forgot the path", func(p *peer) *endpoint { heardAt(99*second, path)(p); return unproved(p) }, 0, []netip.AddrPort{path, c1, c2}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := &peer{key: mesh.Key{1}, candidates: []netip.AddrPort{c1, c2}, asked: tt.asked}
			if got := p.ask(tt.e(p), []byte("msg"), 100*second); !slices.Equal(got, tt.want) {
				t.Errorf("goes to %v, want %v", got, tt.want)
			}
			if p.asked != 100*second || string(p.initiation) != "msg" {
				t.Error("not noted")
			}
		})
	}
}

func TestEveryPlaceComesFirstOnce(t *testing.T) {
	p := &peer{key: mesh.Key{1}, candidates: []netip.AddrPort{ap("10.0.0.1:1"), ap("10.0.0.2:1"), ap("10.0.0.3:1")}}
	first := map[netip.AddrPort]int{}
	for i := range int64(6) {
		got := p.ask(&endpoint{}, nil, (1+i)*initiationLife)
		if len(got) != 3 {
			t.Fatalf("goes to %v", got)
		}
		first[got[0]]++
	}
	if len(first) != 3 {
		t.Errorf("first was %v", first)
	}
}

func TestNewCandidatesGetTheWaitingInitiation(t *testing.T) {
	c1, c2 := ap("10.0.0.1:1"), ap("10.0.0.2:1")
	second := int64(time.Second)
	for _, tt := range []struct {
		name         string
		asked, heard int64
		want         []netip.AddrPort
	}{
		{"waiting", 98 * second, 0, []netip.AddrPort{c2}},
		{"too old", 94 * second, 0, nil},
		{"never asked", 0, 0, nil},
		{"answered", 98 * second, 99 * second, nil},
		{"heard before only", 98 * second, 97 * second, []netip.AddrPort{c2}},
	} {
		p := &peer{key: mesh.Key{1}, candidates: []netip.AddrPort{c1}, asked: tt.asked, initiation: []byte("msg")}
		if tt.heard != 0 {
			p.endpoint(c1).heard.Store(tt.heard)
		}
		got, packet := p.setCandidates([]netip.AddrPort{c1, c2}, 100*second)
		if !slices.Equal(got, tt.want) || len(got) > 0 && string(packet) != "msg" {
			t.Errorf("%s: %v, %q; want %v", tt.name, got, packet, tt.want)
		}
		if len(p.candidates) != 2 {
			t.Errorf("%s: candidates not set", tt.name)
		}
	}
}

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
	if len(b.peers) != 1 {
		t.Fatalf("%d peers; neither we nor nobody nor twice", len(b.peers))
	}
	p1 := b.peer(k1)
	b.indices.record(p1, 7, b.now())
	p1.moved(p1.endpoint(here), b.now())
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
