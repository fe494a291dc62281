package icmp_test

import (
	"net/netip"
	"syscall"
	"testing"

	"nexd/internal/packet"
	"nexd/netstack/icmp"
)

var (
	peer4, host4 = netip.MustParseAddr("100.64.0.1"), netip.MustParseAddr("172.24.0.10")
	peer6, host6 = netip.MustParseAddr("fd00::1"), netip.MustParseAddr("fd77::10")
)

func parse(t testing.TB, b []byte) packet.IP {
	t.Helper()
	p, err := packet.ParseIP(b)
	if err != nil {
		t.Fatal(err)
	}
	if !p.HeaderChecksumOK() || !p.TransportChecksumOK() {
		t.Errorf("checksums of %x are wrong", b)
	}
	return p
}

// An error comes from the address that was to be reached, and its quote identifies
// the packet it is about.
func TestErrorsIdentifyTheirPacket(t *testing.T) {
	for _, tt := range []struct {
		src, dst netip.Addr
		kind     uint8
	}{{peer4, host4, icmp.EchoRequest4}, {peer6, host6, icmp.EchoRequest6}} {
		is4 := tt.src.Is4()
		for e, want := range map[icmp.Error]syscall.Errno{
			icmp.HostUnreachable.Error(is4): syscall.EHOSTUNREACH,
			icmp.NetUnreachable.Error(is4):  syscall.ENETUNREACH,
			icmp.AdminProhibited.Error(is4): syscall.EHOSTUNREACH,
			icmp.PortUnreachable(is4):       syscall.ECONNREFUSED,
		} {
			request := icmp.Echo(tt.src, tt.dst, tt.kind, 7, 9, []byte("payload"))
			parse(t, request)
			b, ok := icmp.Unreachable(request, e)
			if !ok {
				t.Fatalf("%v is not answered", tt.src)
			}
			p := parse(t, b)
			if p.Src() != tt.dst || p.Dst() != tt.src {
				t.Errorf("the error goes from %v to %v", p.Src(), p.Dst())
			}
			got, q, ok := icmp.ParseError(p)
			if !ok || got != e || !q.Echo || q.ID != 7 || q.Seq != 9 || q.Src.Addr() != tt.src || q.Dst.Addr() != tt.dst {
				t.Errorf("%v: parsed as %v, %+v, %v", e, got, q, ok)
			}
			if errno := got.Errno(is4); errno != want {
				t.Errorf("%v is %v, want %v", e, errno, want)
			}
		}
	}
}

func TestNobodyIsAnswered(t *testing.T) {
	for _, src := range []string{"0.0.0.0", "224.0.0.1", "255.255.255.255"} {
		b := icmp.Echo(netip.MustParseAddr(src), host4, icmp.EchoRequest4, 1, 1, nil)
		if _, ok := icmp.Unreachable(b, icmp.PortUnreachable(true)); ok {
			t.Errorf("%s gets an error", src)
		}
	}
	if _, ok := icmp.Unreachable(make([]byte, 19), icmp.PortUnreachable(true)); ok {
		t.Error("a packet without an IP header is answered")
	}
}

// Peers send what they like.
func FuzzParseError(f *testing.F) {
	for _, request := range [][]byte{
		icmp.Echo(peer4, host4, icmp.EchoRequest4, 7, 9, []byte("payload")),
		icmp.Echo(peer6, host6, icmp.EchoRequest6, 7, 9, []byte("payload")),
	} {
		b, _ := icmp.Unreachable(request, icmp.HostUnreachable.Error(request[0]>>4 == 4))
		f.Add(b)
		f.Add(request)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := packet.ParseIP(b)
		if err != nil {
			return
		}
		if _, q, ok := icmp.ParseError(p); ok && q.Src.Addr().Is4() != q.Dst.Addr().Is4() {
			t.Errorf("a quote from %v to %v", q.Src, q.Dst)
		}
	})
}
