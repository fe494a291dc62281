package packet

import (
	"encoding/binary"
	"errors"
	"net/netip"
)

// Protocol numbers of IANA that the views know.
const (
	ProtoICMP   = 1
	ProtoTCP    = 6
	ProtoUDP    = 17
	ProtoICMPv6 = 58
)

// Sizes of headers without options.
const (
	IPv4HeaderLen = 20
	IPv6HeaderLen = 40
	TCPHeaderLen  = 20
	UDPHeaderLen  = 8
)

const (
	hopByHop     = 0
	routing      = 43
	fragment     = 44
	authentic    = 51
	destination  = 60
	maxExtension = 8 // no legitimate packet has more extension headers
)

// The errors of ParseIP.
var (
	ErrVersion  = errors.New("packet: neither IPv4 nor IPv6")
	ErrShort    = errors.New("packet: shorter than its headers say")
	ErrHeader   = errors.New("packet: malformed IP header")
	ErrChecksum = errors.New("packet: IPv4 header checksum is wrong")
)

// IP is a view of an IPv4 or IPv6 packet with valid lengths.
type IP struct {
	b       []byte // exactly the packet, without bytes after its total length
	payload int    // offset after the IP header and extension headers
	proto   uint8
	offset  uint16 // of the fragment, in bytes
	more    bool   // more fragments follow
}

// ParseIP checks version and lengths and, for IPv6, walks the extension headers. It
// ignores bytes after the packet's own length. Only HeaderChecksumOK verifies the
// checksum of an IPv4 header.
func ParseIP(b []byte) (IP, error) {
	if len(b) == 0 {
		return IP{}, ErrShort
	}
	switch b[0] >> 4 {
	case 4:
		return parseIPv4(b)
	case 6:
		return parseIPv6(b)
	}
	return IP{}, ErrVersion
}

func parseIPv4(b []byte) (IP, error) {
	if len(b) < IPv4HeaderLen {
		return IP{}, ErrShort
	}
	header, total := int(b[0]&0x0f)*4, int(binary.BigEndian.Uint16(b[2:]))
	if header < IPv4HeaderLen || total < header {
		return IP{}, ErrHeader
	}
	if total > len(b) {
		return IP{}, ErrShort
	}
	frag := binary.BigEndian.Uint16(b[6:])
	p := IP{b: b[:total], payload: header, proto: b[9], offset: frag & 0x1fff << 3, more: frag&0x2000 != 0}
	if int(p.offset)+total-header > 0xffff {
		return IP{}, ErrHeader // would reassemble to more than the maximum length
	}
	return p, nil
}

func parseIPv6(b []byte) (IP, error) {
	if len(b) < IPv6HeaderLen {
		return IP{}, ErrShort
	}
	total := IPv6HeaderLen + int(binary.BigEndian.Uint16(b[4:]))
	if total > len(b) {
		return IP{}, ErrShort
	}
	p := IP{b: b[:total], payload: IPv6HeaderLen, proto: b[6]}
	for range maxExtension {
		rest := p.b[p.payload:]
		switch p.proto {
		case hopByHop, routing, destination, authentic, fragment:
			if len(rest) < 8 {
				return IP{}, ErrShort
			}
		default:
			return p, nil
		}
		size := 8
		switch p.proto {
		case fragment:
			frag := binary.BigEndian.Uint16(rest[2:])
			p.offset, p.more = frag&^7, frag&1 != 0
		case authentic:
			size = (int(rest[1]) + 2) * 4
		default:
			size = (int(rest[1]) + 1) * 8
		}
		if size > len(rest) {
			return IP{}, ErrShort
		}
		p.proto, p.payload = rest[0], p.payload+size
		if p.offset != 0 {
			return p, nil // the rest belongs to a payload
		}
	}
	return IP{}, ErrHeader
}

// Destination returns the 4 or 16 bytes of an IP packet's destination address, or nil if
// the packet is malformed. To be fast, it checks only version and lengths.
func Destination(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	switch b[0] >> 4 {
	case 4:
		if len(b) < IPv4HeaderLen {
			return nil
		}
		header, total := int(b[0]&0x0f)*4, int(binary.BigEndian.Uint16(b[2:]))
		if header < IPv4HeaderLen || total < header || total > len(b) {
			return nil
		}
		return b[16:20]
	case 6:
		if len(b) < IPv6HeaderLen || IPv6HeaderLen+int(binary.BigEndian.Uint16(b[4:])) > len(b) {
			return nil
		}
		return b[24:40]
	}
	return nil
}

// Bytes is the whole packet.
func (p IP) Bytes() []byte { return p.b }

// Is4 reports whether the packet is IPv4.
func (p IP) Is4() bool { return p.b[0]>>4 == 4 }

// Len is the packet's length in bytes.
func (p IP) Len() int { return len(p.b) }

// HeaderLen is the length of the IP header with options or extension headers.
func (p IP) HeaderLen() int { return p.payload }

// Proto is the protocol number of Payload.
func (p IP) Proto() uint8 { return p.proto }

// Payload is the data after the IP header and extension headers.
func (p IP) Payload() []byte { return p.b[p.payload:] }

// IsFragment reports whether the packet is part of a larger one.
func (p IP) IsFragment() bool { return p.more || p.offset != 0 }

// FragmentOffset is the offset of a fragment's payload in bytes. Payload begins with a
// transport header only at offset 0.
func (p IP) FragmentOffset() int { return int(p.offset) }

// TTL is the time to live, which IPv6 calls hop limit.
func (p IP) TTL() uint8 {
	if p.Is4() {
		return p.b[8]
	}
	return p.b[7]
}

// Src is the source address.
func (p IP) Src() netip.Addr {
	if p.Is4() {
		return netip.AddrFrom4([4]byte(p.b[12:16]))
	}
	return netip.AddrFrom16([16]byte(p.b[8:24]))
}

// Dst is the destination address.
func (p IP) Dst() netip.Addr {
	if p.Is4() {
		return netip.AddrFrom4([4]byte(p.b[16:20]))
	}
	return netip.AddrFrom16([16]byte(p.b[24:40]))
}

// Addresses are the bytes of source and destination in the packet.
func (p IP) Addresses() []byte {
	if p.Is4() {
		return p.b[12:20]
	}
	return p.b[8:40]
}

// HeaderChecksumOK verifies the checksum of an IPv4 header; IPv6 has none.
func (p IP) HeaderChecksumOK() bool {
	return !p.Is4() || Sum(p.b[:p.payload], 0) == 0xffff
}
