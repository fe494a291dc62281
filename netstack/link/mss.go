package link

import (
	"encoding/binary"
	"math"
	"math/bits"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"nexd/internal/packet"
	"nexd/netstack/gvisor"
)

// packetsPerSegment is the number of packets on the wire for one full-sized segment
// of gVisor's TCP.
//
// gVisor counts its congestion window in segments. With two packets per segment the
// window grows by two packets where it would grow by one, and a loss still halves
// it by the same factor. That is MulTCP with N = 2 (Crowcroft and Oechslin, 1998),
// except that MulTCP also backs off less. Chromium's QUIC emulated two connections
// by default as well. On lossy long paths gVisor's cubic otherwise stays below the
// kernel's (docs/performance.md).
//
// On a short path one connection fills the link, and twice the window would only be
// a longer queue. Settle therefore returns to one packet per segment as soon as the
// handshake has measured a short round trip.
//
// Peers do not notice. Only TCP reads the route's MTU (RouteMTU), so the larger
// value goes there; IP fragments by the link's MTU. The segmenter cuts outgoing
// segments into packets. Outgoing SYNs announce the MSS of the link; in an incoming
// SYN that announces at least as much, the MSS is raised to a whole segment. If the
// peer announces a smaller MSS, or an ICMP error lowers the path MTU, gVisor sends
// plain packets; so a segment that is longer than one packet always holds two.
const packetsPerSegment = 2

// Space that gVisor reserves in GSOMaxSize for headers: the payload of a
// super-segment is at most GSOMaxSize minus this (tcp.sender.sendData).
const gsoHeadroom = header.TCPTotalHeaderMaximumSize + 1

// maxPackets is the number of packets of the largest super-segment: after WireGuard
// has added 32 bytes to each, they must fit one UDP GSO send of 65,507 bytes.
func maxPackets(mtu int) int { return min(max(65507/(mtu+32), 1), 120) }

// segmentSize converts between packets and the segments of gVisor's TCP.
type segmentSize struct {
	mtu     int
	packets int // per segment; 1 if two exceed IP's length field
}

func newSegmentSize(mtu int) segmentSize {
	return segmentSize{mtu, min(packetsPerSegment, maxPackets(mtu))}
}

// of returns the size to tell gVisor when packets may have the given size. Both
// sizes include overhead bytes that are not payload.
func (s segmentSize) of(size, overhead int) int {
	return max(s.packets*size-(s.packets-1)*overhead, size)
}

// superPayload is the payload of the largest super-segment, in whole IPv4 packets.
// A partial packet at its end would end every batch below it early.
func (s segmentSize) superPayload() int {
	return s.whole(maxPackets(s.mtu)) * max(s.mtu-gvisor.Overhead(true), 1)
}

// whole rounds a number of packets down to whole segments, at least one.
func (s segmentSize) whole(packets int) int { return max(packets-packets%s.packets, s.packets) }

// lower adapts an outgoing packet of gVisor's to the wire: the MSS of a
// super-segment becomes that of one packet, and so does the MSS that a SYN
// announces.
func (s segmentSize) lower(pkt *stack.PacketBuffer) {
	if s.packets == 1 {
		return
	}
	own := s.mtu - len(pkt.NetworkHeader().Slice()) - packet.TCPHeaderLen
	if pkt.GSOOptions.Type != stack.GSONone { // every packet of a connection except SYNs
		if mss := int(pkt.GSOOptions.MSS); mss > own {
			pkt.GSOOptions.MSS = uint16(mss / s.packets)
		}
		return
	}
	tcp := packet.TCP(pkt.TransportHeader().Slice())
	if pkt.TransportProtocolNumber != header.TCPProtocolNumber || len(tcp) < packet.TCPHeaderLen || tcp.Flags()&packet.SYN == 0 {
		return
	}
	changeMSS(tcp, func(mss int) int { return min(mss, own) })
}

// raise changes the MSS that an incoming SYN announces to that of a segment. The
// caller has verified the checksum; raise keeps it correct.
func (s segmentSize) raise(p packet.IP) {
	if s.packets == 1 {
		return
	}
	if tcp, ok := p.TCP(); ok && tcp.Flags()&packet.SYN != 0 {
		own := s.mtu - p.HeaderLen() - packet.TCPHeaderLen
		changeMSS(tcp, func(mss int) int {
			if mss < own {
				return mss
			}
			return s.of(mss, gvisor.OptionSpace)
		})
	}
}

// RouteMTU is the MTU of the stack's routes. Only TCP reads it.
func (l *Link) RouteMTU(is4 bool) uint32 {
	return uint32(l.segments.of(l.cfg.MTU, gvisor.Overhead(is4)))
}

// MaxWrite is how many bytes of a stream to offer gVisor at once if a packet carries
// mss bytes: one super-segment of whole packets.
func (l *Link) MaxWrite(mss int) int {
	return l.segments.whole(l.segments.superPayload()/mss) * mss
}

// shortPath is the round trip below which a segment is one packet.
const shortPath = 10 * time.Millisecond

// Settle makes each segment of a new connection one packet if its path is short.
// The connection must not have sent data yet. Settle uses the only way into gVisor's
// MSS: it pretends that an ICMP error has lowered the path MTU.
func (l *Link) Settle(ep *tcp.Endpoint, is4 bool) {
	var info tcpip.TCPInfoOption
	if l.segments.packets == 1 || ep.GetSockOpt(&info) != nil || info.RTT == 0 || info.RTT >= shortPath {
		return
	}
	ep.HandleError(packetTooBig{uint32(l.cfg.MTU + gvisor.OptionSpace + header.TCPMinimumSize - gvisor.Overhead(is4))}, nil)
}

// packetTooBig is the transport error of an ICMP "packet too big" that reports an
// MTU.
type packetTooBig struct{ mtu uint32 }

func (packetTooBig) Origin() tcpip.SockErrOrigin    { return tcpip.SockExtErrorOriginNone }
func (packetTooBig) Type() uint8                    { return 0 }
func (packetTooBig) Code() uint8                    { return 0 }
func (e packetTooBig) Info() uint32                 { return e.mtu }
func (packetTooBig) Kind() stack.TransportErrorKind { return stack.PacketTooBigTransportError }

// changeMSS replaces the value of the MSS option, if there is one.
func changeMSS(tcp packet.TCP, change func(int) int) {
	const end, nop, mss, size = 0, 1, 2, 4
	headerLen := tcp.HeaderLen()
	if headerLen > len(tcp) {
		return
	}
	for at := packet.TCPHeaderLen; at < headerLen; {
		switch tcp[at] {
		case end:
			return
		case nop:
			at++
			continue
		}
		if at+1 >= headerLen || tcp[at+1] < 2 || at+int(tcp[at+1]) > headerLen {
			return
		}
		if tcp[at] == mss && tcp[at+1] == size {
			was := int(binary.BigEndian.Uint16(tcp[at+2:]))
			setWord(tcp, 16, at+2, uint16(min(change(was), math.MaxUint16)))
			return
		}
		at += int(tcp[at+1])
	}
}

// setWord replaces 16 bits of b and updates the checksum of b at the given offset.
func setWord(b []byte, checksum, at int, now uint16) {
	was := binary.BigEndian.Uint16(b[at:])
	binary.BigEndian.PutUint16(b[at:], now)
	if at%2 != 0 { // it straddles two words of the sum
		was, now = bits.ReverseBytes16(was), bits.ReverseBytes16(now)
	}
	sum := b[checksum:]
	binary.BigEndian.PutUint16(sum, packet.Update(binary.BigEndian.Uint16(sum), was, now))
}
