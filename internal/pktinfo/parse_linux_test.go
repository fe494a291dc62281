package pktinfo

import (
	"net/netip"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

func TestParseReadsWhatPutMakes(t *testing.T) {
	for text, six := range map[string]bool{"192.0.2.7": false, "192.0.2.8": true, "2001:db8::7": true} {
		var m Message
		n, want := 0, netip.MustParseAddr(text)
		n = m.Put(want, six)
		if at, segment := Parse((*[Room]byte)(unsafe.Pointer(&m))[:n]); at != want || segment != 0 {
			t.Errorf("%v, IPv6 socket %v: %v, segment %d", want, six, at, segment)
		}
	}
}

// FuzzParse: whatever lies in the buffer, it is not read beyond its end.
func FuzzParse(f *testing.F) {
	f.Add([]byte{16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0})
	f.Add(unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: [4]byte{192, 0, 2, 1}}))
	f.Add(unix.PktInfo6(&unix.Inet6Pktinfo{Addr: [16]byte{0xfe, 0x80, 15: 1}})[:31])
	f.Fuzz(func(t *testing.T, b []byte) {
		control := make([]byte, len(b)) // aligned
		copy(control, b)
		if at, _ := Parse(control); at.IsMulticast() || at.IsUnspecified() {
			t.Errorf("%v cannot be a source", at)
		}
	})
}
