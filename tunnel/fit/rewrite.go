package fit

import (
	"encoding/binary"
	"math/bits"
	"net/netip"

	"nexd/internal/packet"
)

// minimumMTU6 is what every IPv6 link carries (RFC 8200, section 5).
const minimumMTU6 = 1280

// leastClamped is the least size that SYNs are clamped to: what every IPv4 host accepts. A connection
// keeps its MSS for life, while the size of its path may only be the first guess of a measurement.
const leastClamped = 576

const (
	flagDF = 0x4000
	flagMF = 0x2000

	fragmentHeaderLen = 8
	leastChunk        = 8 // bytes of payload in a fragment
)

// Protocol numbers of IPv6 extension headers.
const (
	hopByHop    = 0
	routing     = 43
	fragment    = 44
	destination = 60
)

func dontFragment(b []byte) bool { return binary.BigEndian.Uint16(b[6:])&flagDF != 0 }

// clamp lowers the MSS that a SYN announces so that full segments are packets of the given size, or of
// leastClamped. Other packets stay as they are.
func (d *Device) clamp(b []byte, size int) {
	const synTCP4, synTCP6 = packet.IPv4HeaderLen + packet.TCPHeaderLen, packet.IPv6HeaderLen + packet.TCPHeaderLen
	switch { // most packets end here
	case len(b) < synTCP4, b[0]>>4 == 4 && b[9] != packet.ProtoTCP:
		return
	case b[0]>>4 == 4 && int(b[0]&0xf)*4+14 <= len(b) && b[int(b[0]&0xf)*4+13]&packet.SYN == 0:
		return
	case b[0]>>4 == 6 && len(b) >= synTCP6 && b[6] == packet.ProtoTCP && b[packet.IPv6HeaderLen+13]&packet.SYN == 0:
		return
	}
	p, err := packet.ParseIP(b)
	if err != nil {
		return
	}
	tcp, ok := p.TCP()
	if !ok || tcp.Flags()&packet.SYN == 0 {
		return
	}
	header := synTCP4
	if !p.Is4() {
		header = synTCP6
	}
	if lowerMSS(tcp, max(size, leastClamped)-header) {
		d.stats.clamped.Add(1)
	}
}

// lowerMSS lowers the MSS option to most, and adjusts the checksum. It reports whether it did.
func lowerMSS(tcp packet.TCP, most int) bool {
	const end, nop, mss, size = 0, 1, 2, 4
	headerLen := tcp.HeaderLen()
	for at := packet.TCPHeaderLen; at < headerLen; {
		switch tcp[at] {
		case end:
			return false
		case nop:
			at++
			continue
		}
		if at+1 >= headerLen || tcp[at+1] < 2 || at+int(tcp[at+1]) > headerLen {
			return false
		}
		if tcp[at] != mss || tcp[at+1] != size {
			at += int(tcp[at+1])
			continue
		}
		was, now := binary.BigEndian.Uint16(tcp[at+2:]), uint16(min(most, 0xffff))
		if was <= now {
			return false
		}
		binary.BigEndian.PutUint16(tcp[at+2:], now)
		if at%2 != 0 { // the value straddles two words of the sum
			was, now = bits.ReverseBytes16(was), bits.ReverseBytes16(now)
		}
		binary.BigEndian.PutUint16(tcp[16:], packet.Update(binary.BigEndian.Uint16(tcp[16:]), was, now))
		return true
	}
	return false
}

// fragment4 adds the fragments of an IPv4 packet to the waiting packets. It returns false if size
// leaves no room for payload.
func (d *Device) fragment4(p packet.IP, size int) bool {
	b, headerLen := p.Bytes(), p.HeaderLen()
	chunk := (size - headerLen) &^ 7
	if chunk < leastChunk {
		return false
	}
	field, id := binary.BigEndian.Uint16(b[6:]), binary.BigEndian.Uint16(b[4:])
	if field&flagDF != 0 && !p.IsFragment() { // its ID identifies nothing (RFC 6864, section 4.1)
		d.id4++
		id = d.id4
	}
	first, more, payload := p.FragmentOffset(), field&flagMF, p.Payload()
	header := b[:headerLen]
	for at := 0; at < len(payload); at += chunk {
		part, flags := payload[at:min(at+chunk, len(payload))], more
		if at+chunk < len(payload) {
			flags = flagMF
		}
		if at > 0 && len(header) == headerLen && headerLen > packet.IPv4HeaderLen {
			header = laterHeader(b[:headerLen])
		}
		total := len(header) + len(part)
		from := len(d.waiting.bytes)
		d.waiting.bytes = append(append(d.waiting.bytes, header...), part...)
		d.waiting.ends = append(d.waiting.ends, len(d.waiting.bytes))
		f := d.waiting.bytes[from:]
		binary.BigEndian.PutUint16(f[2:], uint16(total))
		binary.BigEndian.PutUint16(f[4:], id)
		binary.BigEndian.PutUint16(f[6:], flags|uint16((first+at)>>3))
		clear(f[10:12])
		binary.BigEndian.PutUint16(f[10:], ^packet.Sum(f[:len(header)], 0))
	}
	return true
}

// laterHeader is the IPv4 header of the fragments after the first: with those options only that say
// that they are copied (RFC 791, section 3.1).
func laterHeader(h []byte) []byte {
	const end, nop, copied = 0, 1, 0x80
	out := append(make([]byte, 0, len(h)), h[:packet.IPv4HeaderLen]...)
	for rest := h[packet.IPv4HeaderLen:]; len(rest) > 0 && rest[0] != end; {
		n := 1
		if rest[0] != nop {
			if len(rest) < 2 || rest[1] < 2 || int(rest[1]) > len(rest) {
				break
			}
			n = int(rest[1])
		}
		if rest[0]&copied != 0 {
			out = append(out, rest[:n]...)
		}
		rest = rest[n:]
	}
	for len(out)%4 != 0 {
		out = append(out, end)
	}
	out[0] = 4<<4 | byte(len(out)/4)
	return out
}

// fragment6 adds the fragments of an IPv6 packet to the waiting packets. It splits a fragment further.
// It returns false if size leaves no room for the headers and payload.
func (d *Device) fragment6(p packet.IP, size int) bool {
	b := p.Bytes()
	head, nextAt, split := unfragmentable(b)
	var (
		next    = b[nextAt]
		payload = b[head:]
		first   int
		more    bool
		id      uint32
	)
	if split {
		h := b[head:]
		field := binary.BigEndian.Uint16(h[2:])
		next, first, more, id, payload = h[0], int(field&^7), field&1 != 0, binary.BigEndian.Uint32(h[4:]), h[fragmentHeaderLen:]
	} else {
		d.id6++
		id = d.id6
	}
	chunk := (size - head - fragmentHeaderLen) &^ 7
	if chunk < leastChunk || first == 0 && len(payload)-len(p.Payload()) > chunk { // all headers belong in the first fragment (RFC 7112)
		return false
	}
	for at := 0; at < len(payload); at += chunk {
		part, field := payload[at:min(at+chunk, len(payload))], uint16(first+at)
		if more || at+chunk < len(payload) {
			field |= 1
		}
		from := len(d.waiting.bytes)
		d.waiting.bytes = append(d.waiting.bytes, b[:head]...)
		d.waiting.bytes = append(d.waiting.bytes, next, 0)
		d.waiting.bytes = binary.BigEndian.AppendUint16(d.waiting.bytes, field)
		d.waiting.bytes = binary.BigEndian.AppendUint32(d.waiting.bytes, id)
		d.waiting.bytes = append(d.waiting.bytes, part...)
		d.waiting.ends = append(d.waiting.ends, len(d.waiting.bytes))
		f := d.waiting.bytes[from:]
		binary.BigEndian.PutUint16(f[4:], uint16(len(f)-packet.IPv6HeaderLen))
		f[nextAt] = fragment
	}
	return true
}

// unfragmentable returns how many bytes at the front of an IPv6 packet every fragment repeats (RFC
// 8200, section 4.5), and where the type of the header after them stands. split says that this header
// is a fragment header already. ParseIP has checked the lengths.
func unfragmentable(b []byte) (head, nextAt int, split bool) {
	head, nextAt = packet.IPv6HeaderLen, 6
	for at, typeAt := head, nextAt; ; {
		switch b[typeAt] {
		case fragment:
			return at, typeAt, true
		case hopByHop, routing, destination:
		default:
			return head, nextAt, false
		}
		if at+8 > len(b) {
			return head, nextAt, false
		}
		kind, size := b[typeAt], (int(b[at+1])+1)*8
		typeAt = at
		if at += size; at >= len(b) {
			return head, nextAt, false
		}
		if kind != destination { // destination options before a routing header belong to it
			head, nextAt = at, typeAt
		}
	}
}

// answerable reports whether a packet may be answered with an ICMP error (RFC 1122, section 3.2.2; RFC
// 4443, section 2.4).
func answerable(p packet.IP) bool {
	src, dst := p.Src(), p.Dst()
	if !src.IsGlobalUnicast() || !dst.IsGlobalUnicast() || p.FragmentOffset() != 0 {
		return false
	}
	if src == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return false
	}
	switch body := p.Payload(); {
	case len(body) == 0:
		return false
	case p.Proto() == packet.ProtoICMP:
		return body[0] == 0 || body[0] == 8 || body[0] > 12
	case p.Proto() == packet.ProtoICMPv6:
		return body[0]&0x80 != 0
	}
	return true
}

const (
	icmpHeaderLen = 8
	quote4        = 576 - packet.IPv4HeaderLen - icmpHeaderLen // RFC 1812, section 4.3.2.3
	quote6        = minimumMTU6 - packet.IPv6HeaderLen - icmpHeaderLen
	hopLimit      = 64
)

// tooBig appends the ICMP error that says which size passes. Its source is the destination of the
// packet: an address of this host as the source of a packet from outside would be dropped, and the
// route to the destination satisfies reverse path filters.
func tooBig(out []byte, p packet.IP, size int) []byte {
	b, from := p.Bytes(), len(out)
	if p.Is4() {
		quoted := b[:min(len(b), quote4)]
		out = append(out, 0x45, 0xc0, 0, 0, 0, 0, 0, 0, hopLimit, packet.ProtoICMP, 0, 0)
		out = append(append(out, b[16:20]...), b[12:16]...)
		out = append(out, 3, 4, 0, 0, 0, 0, byte(size>>8), byte(size))
		out = append(out, quoted...)
		ip := out[from:]
		binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
		binary.BigEndian.PutUint16(ip[10:], ^packet.Sum(ip[:packet.IPv4HeaderLen], 0))
		message := ip[packet.IPv4HeaderLen:]
		binary.BigEndian.PutUint16(message[2:], ^packet.Sum(message, 0))
		return out
	}
	quoted := b[:min(len(b), quote6)]
	out = append(out, 0x60, 0, 0, 0, 0, 0, packet.ProtoICMPv6, hopLimit)
	out = append(append(out, b[24:40]...), b[8:24]...)
	out = append(out, 2, 0, 0, 0, 0, 0, byte(size>>8), byte(size))
	out = append(out, quoted...)
	ip := out[from:]
	message := ip[packet.IPv6HeaderLen:]
	binary.BigEndian.PutUint16(ip[4:], uint16(len(message)))
	binary.BigEndian.PutUint16(message[2:], ^packet.Sum(message, packet.PseudoHeader(ip[8:40], packet.ProtoICMPv6, len(message))))
	return out
}
