package icmp

import (
	"encoding/binary"
	"net/netip"

	"nexd/internal/packet"
)

// Quote is the part of an ICMP error that identifies the packet it is about.
type Quote struct {
	Src, Dst netip.AddrPort
	Proto    uint8
	Echo     bool // an echo request with the following ID and Seq
	ID, Seq  uint16
}

// ParseError returns the type, code and quote of a "destination unreachable"; ok
// is false for any other packet. The quoted packet may end eight bytes into its
// transport header.
func ParseError(p packet.IP) (e Error, q Quote, ok bool) {
	b := p.Payload()
	if p.IsFragment() || len(b) < HeaderLen {
		return e, q, false
	}
	if p.Is4() && b[0] != unreachable4 || !p.Is4() && b[0] != Unreachable6 {
		return e, q, false
	}
	q, ok = parseQuote(b[HeaderLen:])
	return Error{b[0], b[1]}, q, ok
}

// ParseTooBig returns the MTU and quote of an ICMPv6 "packet too big"; ok is false for any
// other packet.
func ParseTooBig(p packet.IP) (mtu int, q Quote, ok bool) {
	b := p.Payload()
	if p.Is4() || p.Proto() != packet.ProtoICMPv6 || p.IsFragment() || len(b) < HeaderLen || b[0] != tooBig6 {
		return 0, q, false
	}
	q, ok = parseQuote(b[HeaderLen:])
	return int(min(binary.BigEndian.Uint32(b[4:]), 0xffff)), q, ok
}

func parseQuote(b []byte) (Quote, bool) {
	var q Quote
	var src, dst netip.Addr
	var rest []byte
	switch {
	case len(b) >= packet.IPv4HeaderLen && b[0]>>4 == 4:
		h := int(b[0]&0x0f) * 4
		if h < packet.IPv4HeaderLen || len(b) < h+8 || binary.BigEndian.Uint16(b[6:])&0x1fff != 0 {
			return q, false
		}
		q.Proto, rest = b[9], b[h:]
		src, dst = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
	case len(b) >= packet.IPv6HeaderLen+8 && b[0]>>4 == 6:
		q.Proto, rest = b[6], b[packet.IPv6HeaderLen:]
		src, dst = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
	default:
		return q, false
	}
	var sport, dport uint16
	switch q.Proto {
	case packet.ProtoTCP, packet.ProtoUDP:
		sport, dport = binary.BigEndian.Uint16(rest), binary.BigEndian.Uint16(rest[2:])
	case packet.ProtoICMP, packet.ProtoICMPv6:
		q.Echo = rest[0] == EchoRequest4 && src.Is4() || rest[0] == EchoRequest6 && src.Is6()
		q.ID, q.Seq = binary.BigEndian.Uint16(rest[4:]), binary.BigEndian.Uint16(rest[6:])
	}
	q.Src, q.Dst = netip.AddrPortFrom(src, sport), netip.AddrPortFrom(dst, dport)
	return q, true
}
