package netstack

import (
	"encoding/binary"
	"math"
	"math/bits"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"nexd/internal/packet"
)

// wirePackets is how many packets go out for what gVisor's TCP takes for one
// segment of full size. Its congestion window is counted in segments: with two
// packets each it grows by two where that of one connection grows by one, and
// loses the same share of itself at a loss. That is MulTCP with N = 2 (Crowcroft
// and Oechslin, 1998) but for the loss, where MulTCP gives back only half as much;
// Chromium's QUIC emulated two connections by default, too. Where packets are
// lost gVisor's cubic otherwise stays below the kernel's (docs/performance.md).
//
// On a short path one connection is fast enough, and twice the window would only
// be a longer queue: there, segments are packets again as soon as the handshake
// has shown how short it is (see Net.settle).
//
// Nobody else sees it. Only TCP asks a route for its MTU, so that is where the
// larger one stands; IP fragments by the link's. What we send is cut into packets
// by the segmenter. SYNs that go out announce what the link carries; those that
// come in and announce at least as much are raised to what gVisor may send. All
// that makes gVisor's segments smaller, a peer that takes only smaller packets or
// an ICMP error, makes them packets: one is two exactly if it is larger than one.
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
	own := w.mtu - len(pkt.NetworkHeader().Slice()) - packet.TCPHeaderLen
	if pkt.GSOOptions.Type != stack.GSONone { // every packet of a connection but SYNs
		if mss := int(pkt.GSOOptions.MSS); mss > own {
			pkt.GSOOptions.MSS = uint16(mss / w.packets)
		}
		return
	}
	tcp := packet.TCP(pkt.TransportHeader().Slice())
	if pkt.TransportProtocolNumber != header.TCPProtocolNumber || len(tcp) < packet.TCPHeaderLen || tcp.Flags()&packet.SYN == 0 {
		return
	}
	changeMSS(tcp, func(mss int) int { return min(mss, own) })
}

// arrives raises what a packet from a peer says of packet sizes. It writes to the
// packet, whose checksums were verified and stay right.
func (w wire) arrives(p packet.IP) {
	if w.packets == 1 {
		return
	}
	if tcp, ok := p.TCP(); ok && tcp.Flags()&packet.SYN != 0 {
		own := w.mtu - p.HeaderLen() - packet.TCPHeaderLen
		changeMSS(tcp, func(mss int) int {
			if mss < own {
				return mss
			}
			return w.segment(mss, optionSpace)
		})
	}
}

// shortPath is a round trip below which a segment is one packet.
const shortPath = 10 * time.Millisecond

// settle makes the segments of a connection packets if its path is short. The
// connection has sent no data yet. gVisor takes it for an ICMP error.
func (n *Net) settle(c *Conn) {
	var info tcpip.TCPInfoOption
	if n.link.wire.packets == 1 || c.ep.GetSockOpt(&info) != nil || info.RTT == 0 || info.RTT >= shortPath {
		return
	}
	c.ep.HandleError(onePacket{uint32(n.cfg.MTU + optionSpace + header.TCPMinimumSize - c.flow.overhead())}, nil)
}

// onePacket is the transport error "packet too big"; it says how much IP carries.
type onePacket struct{ mtu uint32 }

func (onePacket) Origin() tcpip.SockErrOrigin    { return tcpip.SockExtErrorOriginNone }
func (onePacket) Type() uint8                    { return 0 }
func (onePacket) Code() uint8                    { return 0 }
func (e onePacket) Info() uint32                 { return e.mtu }
func (onePacket) Kind() stack.TransportErrorKind { return stack.PacketTooBigTransportError }

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
