package netstack

import (
	"encoding/binary"
	"math"
	"math/bits"

	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"nexd/internal/packet"
)

// wirePackets is how many packets go out for what gVisor's TCP takes for one
// segment of full size. Its congestion window is counted in segments, and so is
// the window's growth: with two packets each it grows, and falls, as those of two
// connections would, which is MulTCP with N = 2 (Crowcroft and Oechslin, 1998)
// and for ten years was what Google's QUIC did. One connection of gVisor's own
// stays below one of the kernel's where packets are lost (docs/performance.md).
//
// Nobody else sees it. Only TCP asks a route for its MTU, so that is where the
// larger one stands; IP fragments by the link's. What we send is cut into packets
// by the segmenter. In SYNs, which tell one TCP the packet size of another, and
// in ICMP errors that correct it, sizes are translated: those that go out say what
// the link carries, those that come in are raised to what gVisor may send.
const wirePackets = 2

// wire is how TCP's segments and packets relate at an MTU.
type wire struct {
	mtu     int
	packets int // of one segment; 1 when two do not fit in what IP can be told
}

func newWire(mtu int) wire { return wire{mtu, min(wirePackets, maxPackets(mtu))} }

// segment is the size that gVisor is told when packets may have the given one.
// Both hold overhead bytes that are not payload, options as far as they come.
func (w wire) segment(size, overhead int) int {
	return max(w.packets*size-(w.packets-1)*overhead, size)
}

// superPayload is the payload of a super-segment of whole IPv4 packets; see
// maxPackets. A remainder at its end would end every batch below it early.
func (w wire) superPayload() int {
	return w.whole(maxPackets(w.mtu)) * max(w.mtu-overhead4, 1)
}

// whole is a number of packets rounded to segments, at least one.
func (w wire) whole(packets int) int { return max(packets-packets%w.packets, w.packets) }

// super is the most of a stream to offer gVisor at once when a packet carries mss
// bytes.
func (w wire) super(mss int) int { return w.whole(w.superPayload()/mss) * mss }

// leaves makes a packet of gVisor's fit for the wire: the segmenter and all below
// know only packets.
func (w wire) leaves(pkt *stack.PacketBuffer) {
	if w.packets == 1 {
		return
	}
	if pkt.GSOOptions.Type != stack.GSONone { // every packet of a connection but SYNs
		if mss := int(pkt.GSOOptions.MSS); mss != 0 { // it is, until the connection knows it
			pkt.GSOOptions.MSS = uint16(max(mss/w.packets, 1))
		}
		return
	}
	tcp := packet.TCP(pkt.TransportHeader().Slice())
	if pkt.TransportProtocolNumber != header.TCPProtocolNumber || len(tcp) < packet.TCPHeaderLen || tcp.Flags()&packet.SYN == 0 {
		return
	}
	own := w.mtu - len(pkt.NetworkHeader().Slice()) - packet.TCPHeaderLen
	changeMSS(tcp, func(mss int) int { return min(mss, own) })
}

// arrives raises what a packet from a peer says of packet sizes. It writes to the
// packet, whose checksums were verified and stay right.
func (w wire) arrives(p packet.IP) {
	if w.packets == 1 {
		return
	}
	if tcp, ok := p.TCP(); ok && tcp.Flags()&packet.SYN != 0 {
		changeMSS(tcp, func(mss int) int { return w.segment(mss, optionSpace) })
	}
}

// tooBig raises the MTU of an ICMP error about a TCP packet; b is the message.
func (w wire) tooBig(is4 bool, b []byte) {
	if w.packets == 1 {
		return
	}
	if is4 {
		was := binary.BigEndian.Uint16(b[6:])
		setWord(b, 2, 6, uint16(min(w.segment(int(was), overhead4), math.MaxUint16)))
		return
	}
	if was := binary.BigEndian.Uint32(b[4:]); was < math.MaxUint16 { // a larger one says nothing
		now := uint32(w.segment(int(was), overhead6))
		setWord(b, 2, 4, uint16(now>>16))
		setWord(b, 2, 6, uint16(now))
	}
}

// changeMSS puts another value into the MSS option, if there is one.
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

// setWord changes 16 bits of b, and the checksum of b with it.
func setWord(b []byte, checksum, at int, now uint16) {
	was := binary.BigEndian.Uint16(b[at:])
	binary.BigEndian.PutUint16(b[at:], now)
	if at%2 != 0 { // it stands astride two words of the sum
		was, now = bits.ReverseBytes16(was), bits.ReverseBytes16(now)
	}
	sum := b[checksum:]
	binary.BigEndian.PutUint16(sum, packet.Update(binary.BigEndian.Uint16(sum), was, now))
}
