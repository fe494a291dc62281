package netstack

import (
	"encoding/binary"
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"nexd/internal/packet"
)

const (
	icmpHeaderLen = 8
	maxQuote      = 1280 - packet.IPv6HeaderLen - icmpHeaderLen // RFC 4443 section 2.4
	icmpTTL       = 64
)

// icmpError is type and code of an ICMP error.
type icmpError struct{ kind, code uint8 }

const (
	unreachable4 = 3
	unreachable6 = 1
)

// icmp is how a reason is said in ICMP or ICMPv6.
func (r Reach) icmp(is4 bool) icmpError {
	if is4 {
		code := [...]header.ICMPv4Code{header.ICMPv4HostUnreachable, header.ICMPv4NetUnreachable, header.ICMPv4AdminProhibited}
		return icmpError{unreachable4, uint8(code[min(int(r), len(code)-1)])}
	}
	code := [...]header.ICMPv6Code{header.ICMPv6AddressUnreachable, header.ICMPv6NetworkUnreachable, header.ICMPv6Prohibited}
	return icmpError{unreachable6, uint8(code[min(int(r), len(code)-1)])}
}

func portUnreachable(is4 bool) icmpError {
	if is4 {
		return icmpError{unreachable4, uint8(header.ICMPv4PortUnreachable)}
	}
	return icmpError{unreachable6, uint8(header.ICMPv6PortUnreachable)}
}

// quote is the part of a received packet that an ICMP error about it carries.
func quote(pkt *stack.PacketBuffer) []byte {
	b := wholePacket(pkt)
	return b[:min(len(b), maxQuote)]
}

// sendUnreachable tells the sender of a packet that it went nowhere. The answer
// comes from the address that was to be reached: this node may have none of that
// family, and WireGuard lets the peer take it only from there.
func (n *Net) sendUnreachable(quoted []byte, e icmpError) {
	if len(quoted) < packet.IPv4HeaderLen {
		return
	}
	var src, dst netip.Addr
	if quoted[0]>>4 == 4 {
		src, dst = netip.AddrFrom4([4]byte(quoted[16:20])), netip.AddrFrom4([4]byte(quoted[12:16]))
	} else {
		src, dst = netip.AddrFrom16([16]byte(quoted[24:40])), netip.AddrFrom16([16]byte(quoted[8:24]))
	}
	if !dst.IsGlobalUnicast() {
		return // an error to a group or to nobody is never sent
	}
	body := make([]byte, icmpHeaderLen, icmpHeaderLen+len(quoted))
	body[0], body[1] = e.kind, e.code
	n.sendICMP(src, dst, append(body, quoted...))
}

// sendICMP sends an ICMP message whose checksum is still to be made.
func (n *Net) sendICMP(src, dst netip.Addr, body []byte) bool {
	var sum uint16
	if src.Is6() {
		sum = packet.PseudoHeader(append(src.AsSlice(), dst.AsSlice()...), packet.ProtoICMPv6, len(body))
	}
	binary.BigEndian.PutUint16(body[2:], ^packet.Sum(body, sum))
	return n.inject(ipPacket(src, dst, body))
}

// ipPacket puts an IP header before an ICMP message.
func ipPacket(src, dst netip.Addr, body []byte) []byte {
	if src.Is4() {
		b := make([]byte, packet.IPv4HeaderLen, packet.IPv4HeaderLen+len(body))
		header.IPv4(b).Encode(&header.IPv4Fields{
			TotalLength: uint16(cap(b)), TTL: icmpTTL, Protocol: packet.ProtoICMP,
			Flags:   header.IPv4FlagDontFragment,
			SrcAddr: toAddress(src), DstAddr: toAddress(dst),
		})
		binary.BigEndian.PutUint16(b[10:], ^packet.Sum(b, 0))
		return append(b, body...)
	}
	b := make([]byte, packet.IPv6HeaderLen, packet.IPv6HeaderLen+len(body))
	header.IPv6(b).Encode(&header.IPv6Fields{
		PayloadLength: uint16(len(body)), TransportProtocol: header.ICMPv6ProtocolNumber, HopLimit: icmpTTL,
		SrcAddr: toAddress(src), DstAddr: toAddress(dst),
	})
	return append(b, body...)
}

// inject sends a packet that was made by hand.
func (n *Net) inject(b []byte) bool {
	p, err := packet.ParseIP(b)
	if err != nil || p.Len() > int(n.link.mtu) {
		return false
	}
	pkt := single(p)
	defer pkt.DecRef()
	q := n.link.out
	if n.link.own.Load().has(p.Dst()) {
		q = n.link.local
	}
	return q.push(pkt)
}

// receive takes packets that are not joined: everything but plain TCP data.
func (n *Net) receive(p packet.IP) {
	if p.Proto() == packet.ProtoICMP || p.Proto() == packet.ProtoICMPv6 {
		n.icmpArrived(p)
	}
	n.link.wire.arrives(p)
	n.deliver(single(p), !p.IsFragment())
}

// icmpArrived looks for errors that gVisor would not pass on: those about our
// own echo requests, and the ICMPv6 ones that it does not know.
func (n *Net) icmpArrived(p packet.IP) {
	b := p.Payload()
	if p.IsFragment() || len(b) < icmpHeaderLen {
		return
	}
	is4 := p.Is4()
	if is4 && b[0] != unreachable4 || !is4 && b[0] != unreachable6 {
		return
	}
	q, ok := parseQuote(b[icmpHeaderLen:])
	if !ok {
		return
	}
	if q.echo {
		n.pings.failed(q, reachErrno(is4, b[1]))
		return
	}
	if is4 || q.proto != packet.ProtoTCP {
		return
	}
	switch header.ICMPv6Code(b[1]) {
	case header.ICMPv6NetworkUnreachable, header.ICMPv6PortUnreachable:
		return // gVisor knows these two
	}
	id := stack.TransportEndpointID{
		LocalAddress: toAddress(q.src.Addr()), LocalPort: q.src.Port(),
		RemoteAddress: toAddress(q.dst.Addr()), RemotePort: q.dst.Port(),
	}
	if ep := n.stack.FindTransportEndpoint(protocolOf(q.dst.Addr()), tcp.ProtocolNumber, id, nicID); ep != nil {
		pkt := single(p)
		defer pkt.DecRef()
		ep.HandleError(hostUnreachable{code: b[1]}, pkt)
	}
}

// quoted is what an ICMP error says of the packet it is about.
type quoted struct {
	src, dst netip.AddrPort
	proto    uint8
	echo     bool // an echo request, of this id and seq
	id, seq  uint16
}

// parseQuote reads the head of a packet that may be cut off after eight bytes of
// its transport header.
func parseQuote(b []byte) (quoted, bool) {
	var q quoted
	var src, dst netip.Addr
	var rest []byte
	switch {
	case len(b) >= packet.IPv4HeaderLen && b[0]>>4 == 4:
		h := int(b[0]&0x0f) * 4
		if h < packet.IPv4HeaderLen || len(b) < h+8 || binary.BigEndian.Uint16(b[6:])&0x1fff != 0 {
			return q, false
		}
		q.proto, rest = b[9], b[h:]
		src, dst = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
	case len(b) >= packet.IPv6HeaderLen+8 && b[0]>>4 == 6:
		q.proto, rest = b[6], b[packet.IPv6HeaderLen:]
		src, dst = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
	default:
		return q, false
	}
	var sport, dport uint16
	switch q.proto {
	case packet.ProtoTCP, packet.ProtoUDP:
		sport, dport = binary.BigEndian.Uint16(rest), binary.BigEndian.Uint16(rest[2:])
	case packet.ProtoICMP, packet.ProtoICMPv6:
		q.echo = rest[0] == echoRequest4 && src.Is4() || rest[0] == echoRequest6 && src.Is6()
		q.id, q.seq = binary.BigEndian.Uint16(rest[4:]), binary.BigEndian.Uint16(rest[6:])
	}
	q.src, q.dst = netip.AddrPortFrom(src, sport), netip.AddrPortFrom(dst, dport)
	return q, true
}

// hostUnreachable is the transport error that gVisor makes for ICMP but not for
// ICMPv6.
type hostUnreachable struct{ code uint8 }

func (hostUnreachable) Origin() tcpip.SockErrOrigin { return tcpip.SockExtErrorOriginICMP6 }
func (hostUnreachable) Type() uint8                 { return unreachable6 }
func (e hostUnreachable) Code() uint8               { return e.code }
func (hostUnreachable) Info() uint32                { return 0 }
func (hostUnreachable) Kind() stack.TransportErrorKind {
	return stack.DestinationHostUnreachableTransportError
}
