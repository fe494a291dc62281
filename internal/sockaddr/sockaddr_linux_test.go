package sockaddr

import (
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

func TestThereAndBack(t *testing.T) {
	var a Raw
	v4 := netip.MustParseAddrPort("192.0.2.7:41641")
	if n := a.Put(v4); n != unix.SizeofSockaddrInet4 || a.Family != unix.AF_INET || a.Get4() != v4 {
		t.Errorf("%d bytes: %v", n, a.Get4())
	}
	for text, want := range map[string]uint32{"[2001:db8::7]:41641": 0, "[fe80::7%12]:1": 12, "[::ffff:192.0.2.7]:2": 0, "[fe80::7%no-such-interface]:3": 0} {
		at := netip.MustParseAddrPort(text)
		n := a.Put(at)
		got, scope := a.Get6()
		if n != Size || a.Family != unix.AF_INET6 || scope != want || got != netip.AddrPortFrom(at.Addr().WithZone(""), at.Port()) {
			t.Errorf("%s: %d bytes, %v, scope %d", text, n, got, scope)
		}
	}
}

func TestZonesByName(t *testing.T) {
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	var a Raw
	a.Put(netip.MustParseAddrPort("[fe80::1%lo]:1"))
	if _, scope := a.Get6(); scope != uint32(lo.Index) {
		t.Errorf("scope %d, want %d", scope, lo.Index)
	}
}

func TestNothingIsAllocated(t *testing.T) {
	a, v4, v6 := new(Raw), netip.MustParseAddrPort("192.0.2.7:1"), netip.MustParseAddrPort("[2001:db8::7]:1")
	if n := testing.AllocsPerRun(100, func() { a.Put(v4); a.Get4(); a.Put(v6); a.Get6() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
