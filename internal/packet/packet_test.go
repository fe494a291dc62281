package packet_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"nexd/internal/packet"
)

// naive is the checksum as RFC 1071 words it.
func naive(b []byte, initial uint16) uint16 {
	sum := uint32(initial)
	for i := 0; i < len(b); i += 2 {
		word := uint32(b[i]) << 8
		if i+1 < len(b) {
			word |= uint32(b[i+1])
		}
		sum += word
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}

func TestSumIsTheNaiveSum(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, 2048)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	for n := range b {
		initial := uint16(rng.Uint32())
		if got, want := packet.Sum(b[:n], initial), naive(b[:n], initial); got != want {
			t.Fatalf("Sum of %d bytes = %04x, want %04x", n, got, want)
		}
	}
	ones := bytes.Repeat([]byte{0xff}, 4096)
	if got := packet.Sum(ones, 0xffff); got != 0xffff {
		t.Errorf("Sum of all ones = %04x", got)
	}
	if got := packet.Sum(nil, 0); got != 0 {
		t.Errorf("Sum of nothing = %04x", got)
	}
}

func FuzzSum(f *testing.F) {
	f.Add([]byte("abc"), uint16(7))
	f.Fuzz(func(t *testing.T, b []byte, initial uint16) {
		if got, want := packet.Sum(b, initial), naive(b, initial); got != want {
			t.Fatalf("Sum(%x, %04x) = %04x, want %04x", b, initial, got, want)
		}
		even := len(b) / 2 &^ 1
		if got, want := packet.Combine(packet.Sum(b[:even], initial), packet.Sum(b[even:], 0)), packet.Sum(b, initial); got != want {
			t.Fatalf("sum in two parts = %04x, in one %04x", got, want)
		}
	})
}

func TestUpdateIsARecount(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	header := make([]byte, 20)
	for range 1000 {
		for i := range header {
			header[i] = byte(rng.Uint32())
		}
		header[10], header[11] = 0, 0
		before := ^packet.Sum(header, 0)
		old, now := binary.BigEndian.Uint16(header[4:]), uint16(rng.Uint32())
		binary.BigEndian.PutUint16(header[4:], now)
		if got, want := packet.Update(before, old, now), ^packet.Sum(header, 0); got != want {
			t.Fatalf("Update(%04x, %04x, %04x) = %04x, a recount gives %04x", before, old, now, got, want)
		}
	}
}

// A SYN as tcpdump wrote it: 192.0.2.1:43210 > 198.51.100.7:80, MSS 1460.
const synHex = "4500002c1c4640004006" + "0000" + "c0000201c6336407" +
	"a8ca0050" + "00000001" + "00000000" + "6002ffff" + "0000" + "0000" + "020405b4"

func syn4(t testing.TB) []byte {
	b, err := hex.DecodeString(synHex)
	if err != nil {
		t.Fatal(err)
	}
	binary.BigEndian.PutUint16(b[10:], ^packet.Sum(b[:20], 0))
	binary.BigEndian.PutUint16(b[36:], ^packet.Sum(b[20:], packet.PseudoHeader(b[12:20], packet.ProtoTCP, len(b)-20)))
	return b
}

// udp6 has a hop-by-hop header of the given length before the datagram.
func udp6(extension int) []byte {
	b := make([]byte, packet.IPv6HeaderLen)
	b[0], b[6], b[7] = 0x60, packet.ProtoUDP, 64
	b[23], b[39] = 1, 2 // ::1 > ::2
	if extension > 0 {
		b[6] = 0
		h := make([]byte, extension)
		h[0], h[1] = packet.ProtoUDP, byte(extension/8-1)
		b = append(b, h...)
	}
	u := []byte{0x04, 0xd2, 0x00, 0x35, 0, 11, 0, 0, 'a', 'b', 'c'}
	sum := ^packet.Sum(u, packet.PseudoHeader(b[8:40], packet.ProtoUDP, len(u)))
	binary.BigEndian.PutUint16(u[6:], sum)
	b = append(b, u...)
	binary.BigEndian.PutUint16(b[4:], uint16(len(b)-packet.IPv6HeaderLen))
	return b
}

func TestTCPOverIPv4(t *testing.T) {
	b := append(syn4(t), "padding of the link"...)
	p, err := packet.ParseIP(b)
	if err != nil {
		t.Fatal(err)
	}
	if !p.Is4() || p.Len() != 44 || p.HeaderLen() != 20 || p.TTL() != 64 || p.IsFragment() {
		t.Errorf("header reads as %v %d %d %d %v", p.Is4(), p.Len(), p.HeaderLen(), p.TTL(), p.IsFragment())
	}
	if !p.HeaderChecksumOK() || !p.TransportChecksumOK() {
		t.Error("right checksums are refused")
	}
	tcp, ok := p.TCP()
	if !ok || tcp.Flags() != packet.SYN || tcp.Seq() != 1 || tcp.Ack() != 0 || tcp.Window() != 0xffff ||
		!bytes.Equal(tcp.Options(), []byte{2, 4, 5, 0xb4}) || len(tcp.Data()) != 0 {
		t.Errorf("TCP reads as %v %x", ok, []byte(tcp))
	}
	flow, ok := p.Flow()
	want := packet.Flow{Src: netip.MustParseAddrPort("192.0.2.1:43210"), Dst: netip.MustParseAddrPort("198.51.100.7:80"), Proto: packet.ProtoTCP}
	if !ok || flow != want {
		t.Errorf("flow = %v, %v; want %v", flow, ok, want)
	}
	if flow.Reverse().Reverse() != flow || flow.Reverse().Src != want.Dst {
		t.Errorf("Reverse = %v", flow.Reverse())
	}
	b[40] ^= 1
	if p.TransportChecksumOK() {
		t.Error("a changed option passes the checksum")
	}
	b[8]--
	if p.HeaderChecksumOK() {
		t.Error("a changed TTL passes the checksum")
	}
}

func TestUDPOverIPv6(t *testing.T) {
	for _, extension := range []int{0, 8, 24} {
		b := udp6(extension)
		p, err := packet.ParseIP(b)
		if err != nil {
			t.Fatalf("with %d bytes of extension: %v", extension, err)
		}
		u, ok := p.UDP()
		if !ok || u.SrcPort() != 1234 || u.DstPort() != 53 || string(u.Data()) != "abc" || !p.TransportChecksumOK() {
			t.Errorf("with %d bytes of extension: UDP reads as %v %x, checksum %v", extension, ok, []byte(u), p.TransportChecksumOK())
		}
		b[len(b)-1] ^= 1
		if p.TransportChecksumOK() {
			t.Error("a changed byte passes the checksum")
		}
		u[6], u[7] = 0, 0
		if p.TransportChecksumOK() {
			t.Error("UDP over IPv6 without a checksum passes")
		}
	}
}

func TestICMPChecksums(t *testing.T) {
	four := []byte{0x45, 0, 0, 29, 0, 0, 0, 0, 64, packet.ProtoICMP, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 8, 0, 0, 0, 1, 2, 3, 4, 9}
	binary.BigEndian.PutUint16(four[22:], ^packet.Sum(four[20:], 0))
	six := udp6(0)
	six[6] = packet.ProtoICMPv6
	six[46], six[47] = 0, 0
	six[42], six[43] = 0, 0
	binary.BigEndian.PutUint16(six[42:], ^packet.Sum(six[40:], packet.PseudoHeader(six[8:40], packet.ProtoICMPv6, len(six)-40)))
	for _, b := range [][]byte{four, six} {
		p, err := packet.ParseIP(b)
		if err != nil || !p.TransportChecksumOK() {
			t.Errorf("a right ICMP checksum: %v", err)
		}
		b[len(b)-1] ^= 1
		if p.TransportChecksumOK() {
			t.Error("a changed byte passes the ICMP checksum")
		}
	}
}

func TestFragments(t *testing.T) {
	b := syn4(t)
	b[6] = 0x20 // more fragments, offset 0
	p, err := packet.ParseIP(b)
	if err != nil || !p.IsFragment() {
		t.Fatalf("first fragment: %v, %v", p.IsFragment(), err)
	}
	if f, ok := p.Flow(); !ok || f.Dst.Port() != 80 {
		t.Errorf("the first fragment's flow = %v, %v", f, ok)
	}
	if _, ok := p.TCP(); ok {
		t.Error("a first fragment reads as a whole segment")
	}
	b[6], b[7] = 0, 2 // offset 16
	if p, err = packet.ParseIP(b); err != nil || p.FragmentOffset() != 16 {
		t.Fatalf("later fragment: %d, %v", p.FragmentOffset(), err)
	}
	if f, ok := p.Flow(); ok {
		t.Errorf("a later fragment has a flow: %v", f)
	}

	six := udp6(8)
	six[6] = 44                                     // the extension is a fragment header
	copy(six[40:], []byte{17, 0, 0, 9, 0, 0, 0, 1}) // offset 8, more
	if p, err = packet.ParseIP(six); err != nil || p.FragmentOffset() != 8 || !p.IsFragment() || p.Proto() != packet.ProtoUDP {
		t.Errorf("IPv6 fragment: offset %d, proto %d, %v", p.FragmentOffset(), p.Proto(), err)
	}
}

func TestParseIPRefuses(t *testing.T) {
	good4, good6 := syn4(t), udp6(0)
	edit := func(b []byte, at int, v ...byte) []byte {
		b = bytes.Clone(b)
		copy(b[at:], v)
		return b
	}
	for _, tt := range []struct {
		name string
		b    []byte
		want error
	}{
		{"nothing", nil, packet.ErrShort},
		{"version 5", edit(good4, 0, 0x55), packet.ErrVersion},
		{"half an IPv4 header", good4[:19], packet.ErrShort},
		{"header of 16 bytes", edit(good4, 0, 0x44), packet.ErrHeader},
		{"total below header", edit(good4, 2, 0, 19), packet.ErrHeader},
		{"total above bytes", good4[:43], packet.ErrShort},
		{"fragment past the end of the world", edit(good4, 6, 0x1f, 0xff), packet.ErrHeader},
		{"half an IPv6 header", good6[:39], packet.ErrShort},
		{"payload above bytes", good6[:len(good6)-1], packet.ErrShort},
		{"extension above bytes", edit(udp6(8), 41, 200), packet.ErrShort},
		{"endless extensions", edit(udp6(160), 40, extensions()...), packet.ErrHeader},
	} {
		if _, err := packet.ParseIP(tt.b); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

// extensions are more hop-by-hop headers, one after the other, than are read.
func extensions() []byte { return make([]byte, 160) }

func TestTransportRefuses(t *testing.T) {
	if _, ok := packet.ParseTCP(make([]byte, 19)); ok {
		t.Error("19 bytes are a TCP header")
	}
	short := make([]byte, 20)
	short[12] = 0x40
	if _, ok := packet.ParseTCP(short); ok {
		t.Error("a TCP header of 16 bytes is taken")
	}
	short[12] = 0x60
	if _, ok := packet.ParseTCP(short); ok {
		t.Error("a TCP header longer than the segment is taken")
	}
	for _, n := range []byte{7, 10} {
		if _, ok := packet.ParseUDP([]byte{0, 1, 0, 2, 0, n, 0, 0, 9}); ok {
			t.Errorf("9 bytes are taken for a datagram of %d", n)
		}
	}
}

// Whatever the bytes, no method of a view that was handed out may panic.
func FuzzParseIP(f *testing.F) {
	f.Add(syn4(f))
	f.Add(udp6(0))
	f.Add(udp6(16))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := packet.ParseIP(b)
		if err != nil {
			return
		}
		if p.Len() > len(b) || p.HeaderLen() > p.Len() || len(p.Payload()) != p.Len()-p.HeaderLen() {
			t.Fatalf("lengths do not add up: %d of %d, header %d", p.Len(), len(b), p.HeaderLen())
		}
		_, _, _, _ = p.Src(), p.Dst(), p.TTL(), p.HeaderChecksumOK()
		p.TransportChecksumOK()
		if tcp, ok := p.TCP(); ok {
			_, _, _, _ = tcp.Seq(), tcp.Ack(), tcp.Window(), tcp.Flags()
			if len(tcp.Options())+len(tcp.Data())+packet.TCPHeaderLen != len(tcp) {
				t.Fatal("TCP parts do not add up")
			}
		}
		if u, ok := p.UDP(); ok {
			_, _ = u.Data(), u.HasChecksum()
		}
		if flow, ok := p.Flow(); ok && flow.Src.Addr() != p.Src() {
			t.Fatal("flow differs from the header")
		}
	})
}

func TestDestination(t *testing.T) {
	four, six := syn4(t), append([]byte{0x60, 0, 0, 0, 0, 4, 17, 64}, make([]byte, 36)...)
	six[39] = 9
	for _, b := range [][]byte{four, six, append(slices.Clone(four), 1, 2, 3)} {
		p, err := packet.ParseIP(b)
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := netip.AddrFromSlice(packet.Destination(b)); got != p.Dst() {
			t.Errorf("destination %v, want %v", got, p.Dst())
		}
	}
	for _, b := range [][]byte{nil, {}, four[:19], six[:39], four[:len(four)-1], six[:43], {0x44, 19: 0}, {0x50, 39: 0}} {
		if got := packet.Destination(b); got != nil {
			t.Errorf("%x has the destination %x", b, got)
		}
	}
}

func TestViewsDoNotAllocate(t *testing.T) {
	b := syn4(t)
	n := testing.AllocsPerRun(100, func() {
		p, _ := packet.ParseIP(b)
		p.TCP()
		p.Flow()
		p.TransportChecksumOK()
	})
	if n != 0 {
		t.Errorf("reading a packet allocates %v times", n)
	}
}

func BenchmarkSum(b *testing.B) {
	for _, size := range []int{20, 1420, 60300} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			buf := make([]byte, size)
			b.SetBytes(int64(size))
			for b.Loop() {
				packet.Sum(buf, 0)
			}
		})
	}
}

func ExampleIP_Flow() {
	b := []byte{0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 100, 64, 0, 2, 172, 24, 0, 10, 0x30, 0x39, 0, 53, 0, 8, 0, 0}
	p, err := packet.ParseIP(b)
	if err != nil {
		fmt.Println(err)
		return
	}
	flow, _ := p.Flow()
	fmt.Println(flow.Src, "to", flow.Dst, "protocol", flow.Proto)
	// Output: 100.64.0.2:12345 to 172.24.0.10:53 protocol 17
}
