package tunnel_test

import (
	"net/netip"
	"testing"
	"time"

	"nexd/internal/leak"
)

const soon = 3 * time.Second // within which what needs no retry must happen

func TestTwoNodesTalk(t *testing.T) {
	leak.Check(t)
	a, b := newNode(t, 1), newNode(t, 2)
	introduce(a, b)
	mustTalk(a, b, soon)
	st, ok := a.bind.Path(b.key)
	if !ok || !st.Proved || st.Addr != b.at("127.0.0.1") {
		t.Errorf("path = %+v, %v; want %v", st, ok, b.at("127.0.0.1"))
	}
}

func TestIPv6InsideAndOutside(t *testing.T) {
	leak.Check(t)
	a, b := newNode(t, 1), newNode(t, 2)
	a.know(map[*node][]netip.AddrPort{b: {b.at("::1")}})
	b.know(map[*node][]netip.AddrPort{a: nil})
	a.tun.out <- packet(a.v6, b.v6, 7, 100)
	b.mustGet(7, soon)
	b.tun.out <- packet(b.v6, a.v6, 8, 100)
	a.mustGet(8, soon)
	if st, _ := a.bind.Path(b.key); st.Addr != b.at("::1") {
		t.Errorf("path = %v", st.Addr)
	}
}
