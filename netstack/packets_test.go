package netstack_test

import (
	"encoding/binary"
	"net/netip"

	"nexd/internal/packet"
)

// ipPacket puts an IP header before a transport header and its data, and sets all
// checksums.
func ipPacket(src, dst netip.Addr, proto uint8, transport []byte) []byte {
	var b []byte
	if src.Is4() {
		b = make([]byte, packet.IPv4HeaderLen, packet.IPv4HeaderLen+len(transport))
		b[0], b[8], b[9] = 0x45, 64, proto
		copy(b[12:], src.AsSlice())
		copy(b[16:], dst.AsSlice())
	} else {
		b = make([]byte, packet.IPv6HeaderLen, packet.IPv6HeaderLen+len(transport))
		b[0], b[6], b[7] = 0x60, proto, 64
		copy(b[8:], src.AsSlice())
		copy(b[24:], dst.AsSlice())
	}
	return corrected(append(b, transport...))[headroom:]
}

// corrected returns b after some headroom, with lengths and checksums corrected as far
// as b can be parsed.
func corrected(b []byte) []byte {
	out := pad(b)
	b = out[headroom:]
	switch {
	case len(b) >= packet.IPv4HeaderLen && b[0]>>4 == 4:
		h := int(b[0]&0x0f) * 4
		binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
		if h < packet.IPv4HeaderLen || h > len(b) {
			return out
		}
		putChecksum(b[:h], 10, 0)
	case len(b) >= packet.IPv6HeaderLen && b[0]>>4 == 6:
		binary.BigEndian.PutUint16(b[4:], uint16(len(b)-packet.IPv6HeaderLen))
	}
	p, err := packet.ParseIP(b)
	if err != nil || p.IsFragment() {
		return out
	}
	body := p.Payload()
	switch p.Proto() {
	case packet.ProtoTCP:
		putChecksum(body, 16, p.PseudoHeader(len(body)))
	case packet.ProtoUDP:
		if len(body) >= packet.UDPHeaderLen {
			binary.BigEndian.PutUint16(body[4:], uint16(len(body)))
		}
		putChecksum(body, 6, p.PseudoHeader(len(body)))
	case packet.ProtoICMP:
		putChecksum(body, 2, 0)
	case packet.ProtoICMPv6:
		putChecksum(body, 2, p.PseudoHeader(len(body)))
	}
	return out
}

func putChecksum(b []byte, at int, initial uint16) {
	if len(b) < at+2 {
		return
	}
	b[at], b[at+1] = 0, 0
	binary.BigEndian.PutUint16(b[at:], ^packet.Sum(b, initial))
}

func tcpHeader(sport, dport uint16, seq, ack uint32, flags uint8, data string) []byte {
	b := make([]byte, packet.TCPHeaderLen)
	binary.BigEndian.PutUint16(b, sport)
	binary.BigEndian.PutUint16(b[2:], dport)
	binary.BigEndian.PutUint32(b[4:], seq)
	binary.BigEndian.PutUint32(b[8:], ack)
	b[12], b[13] = 0x50, flags
	binary.BigEndian.PutUint16(b[14:], 0xffff)
	return append(b, data...)
}

func udpHeader(sport, dport uint16, data string) []byte {
	b := make([]byte, packet.UDPHeaderLen)
	binary.BigEndian.PutUint16(b, sport)
	binary.BigEndian.PutUint16(b[2:], dport)
	return append(b, data...)
}

// seeds returns packets of every kind, to own and to other addresses.
func seeds() (all [][]byte) {
	echo4, echo6 := []byte{8, 0, 0, 0, 1, 2, 3, 4, 'p'}, []byte{128, 0, 0, 0, 1, 2, 3, 4, 'p'}
	for _, dst := range []netip.Addr{addrA4, container4} {
		all = append(all, ipPacket(addrB4, dst, packet.ProtoICMP, echo4))
	}
	for _, dst := range []netip.Addr{addrA6, container6} {
		all = append(all, ipPacket(addrB6, dst, packet.ProtoICMPv6, echo6))
	}
	for _, to := range [][2]netip.Addr{{addrB4, addrA4}, {addrB4, container4}, {addrB6, addrA6}, {addrB6, container6}} {
		syn := ipPacket(to[0], to[1], packet.ProtoTCP, tcpHeader(1000, 80, 1, 0, packet.SYN, ""))
		kind, proto := byte(3), uint8(packet.ProtoICMP)
		if to[0].Is6() {
			kind, proto = 1, packet.ProtoICMPv6
		}
		all = append(all, syn,
			ipPacket(to[0], to[1], packet.ProtoTCP, tcpHeader(1000, 80, 2, 1, packet.ACK|packet.PSH, "data")),
			ipPacket(to[0], to[1], packet.ProtoTCP, tcpHeader(1000, 80, 2, 0, packet.RST, "")),
			ipPacket(to[0], to[1], packet.ProtoUDP, udpHeader(1000, 53, "question")),
			ipPacket(to[0], to[1], proto, append([]byte{kind, 1, 0, 0, 0, 0, 0, 0}, syn...)),
		)
	}
	return all
}

// fragments splits a packet into two fragments after 1,200 bytes of payload.
func fragments(b []byte, id uint16) [][]byte {
	const cut = 1200
	h := packet.IPv6HeaderLen
	if b[0]>>4 == 4 {
		h = packet.IPv4HeaderLen
	}
	part := func(payload []byte, offset int, more bool) []byte {
		head := append([]byte(nil), b[:h]...)
		flags := uint16(offset / 8)
		if h == packet.IPv4HeaderLen {
			if more {
				flags |= 0x2000
			}
			binary.BigEndian.PutUint16(head[4:], id)
			binary.BigEndian.PutUint16(head[6:], flags)
		} else {
			flags <<= 3
			if more {
				flags |= 1
			}
			head = append(head, head[6], 0, byte(flags>>8), byte(flags), 0, 0, byte(id>>8), byte(id))
			head[6] = 44
		}
		return corrected(append(head, payload...))[headroom:]
	}
	return [][]byte{part(b[h:h+cut], 0, true), part(b[h+cut:], cut, false)}
}
