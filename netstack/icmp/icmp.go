package icmp

import (
	"encoding/binary"
	"net/netip"
	"syscall"

	"nexd/internal/packet"
)

// Message types.
const (
	EchoReply4   = 0
	unreachable4 = 3
	EchoRequest4 = 8

	Unreachable6 = 1
	tooBig6      = 2
	EchoRequest6 = 128
	EchoReply6   = 129
)

// Codes of "destination unreachable": RFC 792 and RFC 1812 section 5.2.7.1 for
// ICMP, RFC 4443 section 3.1 for ICMPv6.
const (
	netUnreachable4  = 0
	hostUnreachable4 = 1
	portUnreachable4 = 3
	netUnknown4      = 6
	prohibited4      = 13

	NoRoute6            = 0
	prohibited6         = 1
	addressUnreachable6 = 3
	PortUnreachable6    = 4
)

const (
	// HeaderLen is the length of the header that all messages here have.
	HeaderLen = 8

	// MaxQuote is the number of bytes that an error quotes of the packet it is
	// about. With it, the error fits IPv6's minimum MTU (RFC 4443 section 2.4 c).
	MaxQuote = 1280 - packet.IPv6HeaderLen - HeaderLen

	ttl = 64
)

// Reach says why a destination cannot be reached.
type Reach uint8

const (
	HostUnreachable Reach = iota // the host does not answer
	NetUnreachable               // there is no route to its network
	AdminProhibited              // a rule forbids it
)

// Error is the type and code of a "destination unreachable".
type Error struct{ Type, Code uint8 }

// Error encodes r for the given address family.
func (r Reach) Error(is4 bool) Error {
	if is4 {
		code := [...]uint8{hostUnreachable4, netUnreachable4, prohibited4}
		return Error{unreachable4, code[min(int(r), len(code)-1)]}
	}
	code := [...]uint8{addressUnreachable6, NoRoute6, prohibited6}
	return Error{Unreachable6, code[min(int(r), len(code)-1)]}
}

// PortUnreachable is the error that says that no socket is bound to a UDP port.
func PortUnreachable(is4 bool) Error {
	if is4 {
		return Error{unreachable4, portUnreachable4}
	}
	return Error{Unreachable6, PortUnreachable6}
}

// Errno converts a "destination unreachable" to the error that a socket returns
// for it.
func (e Error) Errno(is4 bool) syscall.Errno {
	switch {
	case is4 && (e.Code == netUnreachable4 || e.Code == netUnknown4), !is4 && e.Code == NoRoute6:
		return syscall.ENETUNREACH
	case is4 && e.Code == portUnreachable4, !is4 && e.Code == PortUnreachable6:
		return syscall.ECONNREFUSED
	}
	return syscall.EHOSTUNREACH
}

// Unreachable makes a packet that tells the sender of the quoted packet that its
// destination cannot be reached. Its source is that destination: the node may have
// no address of the family itself, and WireGuard accepts the error at the other
// end only from an address that is routed to this node. ok is false if the sender
// must not be answered (RFC 1122 section 3.2.2).
func Unreachable(quoted []byte, e Error) (b []byte, ok bool) {
	if len(quoted) < packet.IPv4HeaderLen {
		return nil, false
	}
	var src, dst netip.Addr
	if quoted[0]>>4 == 4 {
		src, dst = netip.AddrFrom4([4]byte(quoted[16:20])), netip.AddrFrom4([4]byte(quoted[12:16]))
	} else {
		src, dst = netip.AddrFrom16([16]byte(quoted[24:40])), netip.AddrFrom16([16]byte(quoted[8:24]))
	}
	if !dst.IsGlobalUnicast() {
		return nil, false
	}
	body := make([]byte, HeaderLen, HeaderLen+len(quoted))
	body[0], body[1] = e.Type, e.Code
	return Packet(src, dst, append(body, quoted...)), true
}

// Echo makes an echo request or reply.
func Echo(src, dst netip.Addr, kind uint8, id, seq uint16, payload []byte) []byte {
	b := make([]byte, HeaderLen, HeaderLen+len(payload))
	b[0] = kind
	binary.BigEndian.PutUint16(b[4:], id)
	binary.BigEndian.PutUint16(b[6:], seq)
	return Packet(src, dst, append(b, payload...))
}

// Packet sets the checksum of an ICMP message and puts an IP header before it.
func Packet(src, dst netip.Addr, message []byte) []byte {
	var sum uint16
	if src.Is6() {
		sum = packet.PseudoHeader(append(src.AsSlice(), dst.AsSlice()...), packet.ProtoICMPv6, len(message))
	}
	binary.BigEndian.PutUint16(message[2:], ^packet.Sum(message, sum))
	return IP(src, dst, message)
}

// IP puts an IP header before an ICMP message as it is.
func IP(src, dst netip.Addr, message []byte) []byte {
	if src.Is4() {
		b := make([]byte, packet.IPv4HeaderLen, packet.IPv4HeaderLen+len(message))
		b[0], b[6], b[8], b[9] = 0x45, 0x40, ttl, packet.ProtoICMP // 0x40: don't fragment
		binary.BigEndian.PutUint16(b[2:], uint16(cap(b)))
		copy(b[12:], src.AsSlice())
		copy(b[16:], dst.AsSlice())
		binary.BigEndian.PutUint16(b[10:], ^packet.Sum(b, 0))
		return append(b, message...)
	}
	b := make([]byte, packet.IPv6HeaderLen, packet.IPv6HeaderLen+len(message))
	b[0], b[6], b[7] = 0x60, packet.ProtoICMPv6, ttl
	binary.BigEndian.PutUint16(b[4:], uint16(len(message)))
	copy(b[8:], src.AsSlice())
	copy(b[24:], dst.AsSlice())
	return append(b, message...)
}
