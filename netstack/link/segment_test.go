package link

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"nexd/internal/packet"
	"nexd/netstack/gvisor"
)

var (
	local4, remote4 = netip.MustParseAddr("100.64.0.1"), netip.MustParseAddr("172.24.0.10")
	local6, remote6 = netip.MustParseAddr("fd00::1"), netip.MustParseAddr("fd77::10")
)

// super is a super-segment as gVisor's TCP hands it down: 12 bytes of options,
// the checksum field not filled in.
func super(src, dst netip.Addr, seq uint32, flags uint8, id uint16, mss int, data []byte) *stack.PacketBuffer {
	ipLen := packet.IPv4HeaderLen
	if src.Is6() {
		ipLen = packet.IPv6HeaderLen
	}
	const tcpLen = packet.TCPHeaderLen + 12
	payload := buffer.MakeWithData(data[:len(data)/3]) // in two views
	payload.Append(buffer.NewViewWithData(data[len(data)/3:]))
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{ReserveHeaderBytes: ipLen + tcpLen, Payload: payload})
	tcp := pkt.TransportHeader().Push(tcpLen)
	binary.BigEndian.PutUint16(tcp, 4000)
	binary.BigEndian.PutUint16(tcp[2:], 80)
	binary.BigEndian.PutUint32(tcp[4:], seq)
	binary.BigEndian.PutUint32(tcp[8:], 99)
	tcp[12], tcp[13] = tcpLen/4<<4, flags
	binary.BigEndian.PutUint16(tcp[14:], 512)
	copy(tcp[20:], []byte{1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8})
	ip := pkt.NetworkHeader().Push(ipLen)
	pkt.GSOOptions = stack.GSO{Type: stack.GSOTCPv4, NeedsCsum: true, MSS: uint16(mss), L3HdrLen: uint16(ipLen)}
	pkt.NetworkProtocolNumber = ipv4.ProtocolNumber
	if src.Is4() {
		ip[0], ip[8], ip[9] = 0x45, 64, packet.ProtoTCP
		ip[6] = 0x40
		binary.BigEndian.PutUint16(ip[4:], id)
		copy(ip[12:], src.AsSlice())
		copy(ip[16:], dst.AsSlice())
		return pkt
	}
	pkt.NetworkProtocolNumber = ipv6.ProtocolNumber
	pkt.GSOOptions.Type = stack.GSOTCPv6
	ip[0], ip[6], ip[7] = 0x60, packet.ProtoTCP, 64
	copy(ip[8:], src.AsSlice())
	copy(ip[24:], dst.AsSlice())
	return pkt
}

// split runs a segmenter to its end.
func split(t testing.TB, pkt *stack.PacketBuffer) (packets [][]byte) {
	t.Helper()
	var s segmenter
	for s.load(pkt); s.busy(); {
		b := make([]byte, 2000)
		n := s.next(b)
		if n == 0 {
			t.Fatal("a packet was dropped")
		}
		packets = append(packets, b[:n])
	}
	return packets
}

func letters(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	return b
}

func TestSegmenter(t *testing.T) {
	for _, tt := range []struct {
		name     string
		src, dst netip.Addr
		size     int
		mss      int
		id       uint16
		flags    uint8
	}{
		{"whole packets", local4, remote4, 13400, 1340, 0, packet.ACK | packet.PSH},
		{"a rest", local4, remote4, 13401, 1340, 7, packet.ACK | packet.PSH},
		{"one packet", local4, remote4, 10, 1340, 0, packet.ACK},
		{"odd sizes", local4, remote4, 9999, 1001, 65535, packet.ACK},
		{"IPv6", local6, remote6, 59400, 1320, 0, packet.ACK | packet.PSH},
		{"IPv6, a rest", local6, remote6, 1321, 1320, 0, packet.ACK | packet.PSH | packet.CWR},
		{"FIN with data", local4, remote4, 3000, 1340, 0, packet.ACK | packet.FIN},
		{"no data", local4, remote4, 0, 1340, 0, packet.ACK},
		{"MSS 0", local4, remote4, 500, 0, 0, packet.ACK}, // before gVisor's sender exists
		{"sequence wraps", local4, remote4, 5000, 1340, 0, packet.ACK},
	} {
		t.Run(tt.name, func(t *testing.T) {
			data := letters(tt.size)
			const seq = 0xfffffff0 - 1000
			packets := split(t, super(tt.src, tt.dst, seq, tt.flags, tt.id, tt.mss, data))
			var got []byte
			for i, b := range packets {
				p, err := packet.ParseIP(b)
				if err != nil || p.Len() != len(b) {
					t.Fatalf("packet %d: %d bytes, %v", i, len(b), err)
				}
				tcp, ok := p.TCP()
				if !ok || !p.HeaderChecksumOK() || !p.TransportChecksumOK() || p.Src() != tt.src || p.Dst() != tt.dst {
					t.Fatalf("packet %d: %v, checksums %v %v", i, ok, p.HeaderChecksumOK(), p.TransportChecksumOK())
				}
				if want := uint32(seq) + uint32(len(got)); tcp.Seq() != want || tcp.Ack() != 99 || len(tcp.Options()) != 12 {
					t.Errorf("packet %d: seq %d, want %d", i, tcp.Seq(), want)
				}
				want := tt.flags
				if i < len(packets)-1 {
					want &^= packet.PSH | packet.FIN
				}
				if i > 0 {
					want &^= packet.CWR
				}
				if tcp.Flags() != want {
					t.Errorf("packet %d: flags %08b, want %08b", i, tcp.Flags(), want)
				}
				if id := binary.BigEndian.Uint16(b[4:]); tt.src.Is4() && tt.id != 0 && i > 0 && id == binary.BigEndian.Uint16(packets[i-1][4:]) {
					t.Errorf("packet %d has the ID of the one before", i)
				}
				if tt.mss > 0 && i < len(packets)-1 && len(tcp.Data()) != tt.mss {
					t.Errorf("packet %d carries %d bytes", i, len(tcp.Data()))
				}
				got = append(got, tcp.Data()...)
			}
			if !bytes.Equal(got, data) {
				t.Error("the data is not what it was")
			}
		})
	}
}

// limited is a Sender whose packets have a limit.
type limited int

func (limited) KUID() uint32                    { return 0 }
func (limited) KGID() uint32                    { return 0 }
func (limited) Sent(*stack.PacketBuffer)        {}
func (limited) Delays(*stack.PacketBuffer) bool { return false }
func (l limited) PacketLimit() int              { return int(l) }

func TestSegmenterObeysThePath(t *testing.T) {
	pkt := super(local4, remote4, 1, packet.ACK, 0, 1340, letters(13400))
	pkt.Owner = limited(1200)
	for i, b := range split(t, pkt) {
		if len(b) > 1200 {
			t.Errorf("packet %d has %d bytes", i, len(b))
		}
	}
}

func TestSegmenterDropsWhatDoesNotFit(t *testing.T) {
	var s segmenter
	s.load(super(local4, remote4, 1, packet.ACK, 0, 1340, letters(5000)))
	if n := s.next(make([]byte, 1000)); n != 0 || s.busy() {
		t.Errorf("next = %d, busy %v", n, s.busy())
	}
	s.load(gvisor.CopyPacket(mustParse(t, split(t, super(local4, remote4, 1, packet.ACK, 0, 1340, letters(500)))[0])))
	if n := s.next(make([]byte, 100)); n != 0 || s.busy() {
		t.Errorf("next of a plain packet = %d, busy %v", n, s.busy())
	}
}

func mustParse(t testing.TB, b []byte) packet.IP {
	t.Helper()
	p, err := packet.ParseIP(b)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// coalesce runs packets through a run as Device.Write does.
func coalesce(t testing.TB, packets [][]byte) (out []*stack.PacketBuffer) {
	t.Helper()
	var r run
	var g gapTable
	flush := func() {
		if !r.empty() {
			g.ended(r.flow, r.next)
			out = append(out, r.join())
		}
	}
	for _, b := range packets {
		p := mustParse(t, b)
		tcp, ok := p.TCP()
		switch {
		case ok && r.goesOn(p, tcp) && joinable(p, tcp):
			r.add(tcp)
		case ok && joinable(p, tcp):
			flush()
			r.begin(p, tcp, &g)
		default:
			flush()
			out = append(out, gvisor.CopyPacket(p))
		}
	}
	flush()
	return out
}

func TestCoalescerUndoesTheSegmenter(t *testing.T) {
	for _, tt := range []struct {
		src, dst netip.Addr
		mss      int
	}{{local4, remote4, 1340}, {local6, remote6, 1320}} {
		data := letters(45 * tt.mss)
		packets := split(t, super(tt.src, tt.dst, 77, packet.ACK|packet.PSH, 0, tt.mss, data))
		out := coalesce(t, packets)
		if len(out) != 1 {
			t.Fatalf("%d packets became %d", len(packets), len(out))
		}
		v := out[0].ToView()
		whole := v.AsSlice()
		p := mustParse(t, whole)
		tcp, ok := p.TCP()
		if !ok || p.Len() != len(whole) || !p.HeaderChecksumOK() || tcp.Seq() != 77 || tcp.Flags() != packet.ACK|packet.PSH || !bytes.Equal(tcp.Data(), data) {
			t.Errorf("joined: %v, %d bytes, header checksum %v, seq %d, flags %b", ok, p.Len(), p.HeaderChecksumOK(), tcp.Seq(), tcp.Flags())
		}
		v.Release()
		out[0].DecRef()
	}
}

func TestCoalescerKeepsApart(t *testing.T) {
	base := func(seq uint32) []byte {
		return split(t, super(local4, remote4, seq, packet.ACK, 0, 1340, letters(100)))[0]
	}
	edit := func(b []byte, at int, v byte) []byte { b[at] = v; return b }
	for _, tt := range []struct {
		name    string
		packets [][]byte
		want    int
	}{
		{"in order", [][]byte{base(1), base(101), base(201)}, 1},
		{"a hole", [][]byte{base(1), base(201), base(301), base(401)}, 4}, // each after it is acknowledged
		{"a hole filled", [][]byte{base(1), base(201), base(101), base(301), base(401)}, 4},
		{"twice the same", [][]byte{base(1), base(1)}, 2},
		{"another port", [][]byte{base(1), edit(base(101), 21, 9)}, 2},
		{"another source", [][]byte{base(1), edit(base(101), 15, 9)}, 2},
		{"another ack", [][]byte{base(1), edit(base(101), 31, 9)}, 2},
		{"another window", [][]byte{base(1), edit(base(101), 35, 9)}, 2},
		{"other options", [][]byte{base(1), edit(base(101), 45, 9)}, 2},
		{"another TTL", [][]byte{base(1), edit(base(101), 8, 9)}, 2},
		{"a congestion mark", [][]byte{base(1), edit(base(101), 1, 3)}, 2},
		{"FIN", [][]byte{base(1), edit(base(101), 33, packet.ACK|packet.FIN)}, 2},
		{"URG", [][]byte{base(1), edit(base(101), 33, packet.ACK|packet.URG)}, 2},
	} {
		out := coalesce(t, tt.packets)
		if len(out) != tt.want {
			t.Errorf("%s: %d packets became %d, want %d", tt.name, len(tt.packets), len(out), tt.want)
		}
		for _, pkt := range out {
			pkt.DecRef()
		}
	}
}

func TestCoalescerStopsAtTheLengthField(t *testing.T) {
	packets := split(t, super(local4, remote4, 1, packet.ACK, 0, 1400, letters(64400)))
	packets = append(packets, split(t, super(local4, remote4, 64401, packet.ACK, 0, 1400, letters(64400)))...)
	total := 0
	out := coalesce(t, packets)
	for _, pkt := range out {
		total += pkt.Size()
		if pkt.Size() > maxRun {
			t.Errorf("a packet of %d bytes", pkt.Size())
		}
		pkt.DecRef()
	}
	if len(out) != 2 || total != 2*64400+2*52 {
		t.Errorf("%d packets with %d bytes", len(out), total)
	}
}

func BenchmarkSegment(b *testing.B) {
	data := letters(45 * 1340)
	buf := make([]byte, 1500)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	pkt := super(local4, remote4, 1, packet.ACK|packet.PSH, 0, 1340, data)
	for b.Loop() {
		var s segmenter
		for s.load(pkt.IncRef()); s.busy(); {
			s.next(buf)
		}
	}
	pkt.DecRef()
}

func BenchmarkCoalesce(b *testing.B) {
	data := letters(45 * 1340)
	packets := split(b, super(local4, remote4, 1, packet.ACK|packet.PSH, 0, 1340, data))
	var r run
	var g gapTable
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		for i, raw := range packets {
			p, _ := packet.ParseIP(raw)
			if !p.HeaderChecksumOK() || !p.TransportChecksumOK() {
				b.Fatal("checksum")
			}
			tcp, _ := p.TCP()
			if i > 0 && r.goesOn(p, tcp) && joinable(p, tcp) {
				r.add(tcp)
				continue
			}
			r.begin(p, tcp, &g)
		}
		r.join().DecRef()
	}
}
