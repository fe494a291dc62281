package packet

import (
	"encoding/binary"
	"net/netip"
)

// TCP flags.
const (
	FIN = 1 << iota
	SYN
	RST
	PSH
	ACK
	URG
	ECE
	CWR
)

// TCP is a view of a TCP segment: header, options and data.
type TCP []byte

// ParseTCP checks that b holds a complete TCP header with its options.
func ParseTCP(b []byte) (TCP, bool) {
	if len(b) < TCPHeaderLen {
		return nil, false
	}
	if h := TCP(b).HeaderLen(); h < TCPHeaderLen || h > len(b) {
		return nil, false
	}
	return b, true
}

// SrcPort is the source port.
func (t TCP) SrcPort() uint16 { return binary.BigEndian.Uint16(t) }

// DstPort is the destination port.
func (t TCP) DstPort() uint16 { return binary.BigEndian.Uint16(t[2:]) }

// Seq is the sequence number of the first byte (or of SYN or FIN).
func (t TCP) Seq() uint32 { return binary.BigEndian.Uint32(t[4:]) }

// Ack is the acknowledgement number, which is valid only if Flags has ACK.
func (t TCP) Ack() uint32 { return binary.BigEndian.Uint32(t[8:]) }

// HeaderLen is the length of the header with options.
func (t TCP) HeaderLen() int { return int(t[12]>>4) * 4 }

// Flags are the bits FIN to CWR.
func (t TCP) Flags() uint8 { return t[13] }

// Window is the receive window in the header, not scaled.
func (t TCP) Window() uint16 { return binary.BigEndian.Uint16(t[14:]) }

// Options are the bytes between the fixed header and the data.
func (t TCP) Options() []byte { return t[TCPHeaderLen:t.HeaderLen()] }

// Data is what follows the header.
func (t TCP) Data() []byte { return t[t.HeaderLen():] }

// UDP is a view of a UDP datagram, truncated to the length in its header.
type UDP []byte

// ParseUDP checks that b holds a complete datagram.
func ParseUDP(b []byte) (UDP, bool) {
	if len(b) < UDPHeaderLen {
		return nil, false
	}
	n := int(binary.BigEndian.Uint16(b[4:]))
	if n < UDPHeaderLen || n > len(b) {
		return nil, false
	}
	return b[:n], true
}

// SrcPort is the source port.
func (u UDP) SrcPort() uint16 { return binary.BigEndian.Uint16(u) }

// DstPort is the destination port.
func (u UDP) DstPort() uint16 { return binary.BigEndian.Uint16(u[2:]) }

// HasChecksum reports whether the datagram has a checksum, which is optional over IPv4.
func (u UDP) HasChecksum() bool { return u[6]|u[7] != 0 }

// Data is what follows the header.
func (u UDP) Data() []byte { return u[UDPHeaderLen:] }

// TCP is the packet's TCP segment; ok is false for other protocols, for
// fragments and for malformed headers.
func (p IP) TCP() (_ TCP, ok bool) {
	if p.proto != ProtoTCP || p.IsFragment() {
		return nil, false
	}
	return ParseTCP(p.Payload())
}

// UDP is the packet's UDP datagram; ok is false for other protocols, for
// fragments and for malformed headers.
func (p IP) UDP() (_ UDP, ok bool) {
	if p.proto != ProtoUDP || p.IsFragment() {
		return nil, false
	}
	return ParseUDP(p.Payload())
}

// Flow identifies one direction of a conversation and is comparable. Ports are zero for
// protocols without ports.
type Flow struct {
	Src, Dst netip.AddrPort
	Proto    uint8
}

// Flow returns the packet's 5-tuple, including the ports of a first fragment. ok is false
// for later fragments, and for TCP or UDP packets that are too short for ports.
func (p IP) Flow() (_ Flow, ok bool) {
	f := Flow{Proto: p.proto}
	var src, dst uint16
	if p.proto == ProtoTCP || p.proto == ProtoUDP {
		b := p.Payload()
		if p.offset != 0 || len(b) < 4 {
			return Flow{}, false
		}
		src, dst = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	}
	f.Src, f.Dst = netip.AddrPortFrom(p.Src(), src), netip.AddrPortFrom(p.Dst(), dst)
	return f, true
}

// Reverse is the other direction of the conversation.
func (f Flow) Reverse() Flow { return Flow{Src: f.Dst, Dst: f.Src, Proto: f.Proto} }

// TransportChecksumOK verifies the checksum of a complete TCP segment, UDP datagram or
// ICMP message, including its pseudo header if it has one. Other protocols and fragments
// pass, because they cannot be verified. A UDP datagram without a checksum passes over
// IPv4 only (RFC 8200, section 8.1).
func (p IP) TransportChecksumOK() bool {
	if p.IsFragment() {
		return true
	}
	b := p.Payload()
	switch p.proto {
	case ProtoTCP, ProtoICMPv6:
	case ProtoICMP:
		return Sum(b, 0) == 0xffff
	case ProtoUDP:
		u, ok := ParseUDP(b)
		if !ok {
			return false
		}
		if !u.HasChecksum() {
			return p.Is4()
		}
		b = u
	default:
		return true
	}
	return Sum(b, p.PseudoHeader(len(b))) == 0xffff
}

// PseudoHeader returns the sum over the pseudo header of a transport segment of the given
// length: addresses, protocol and length.
func (p IP) PseudoHeader(length int) uint16 { return PseudoHeader(p.Addresses(), p.proto, length) }
