package proxy

import (
	"encoding/binary"
	"net/netip"
	"strconv"

	"nexd/internal/hostport"
	"nexd/mesh"
)

// The address types of RFC 1928.
const (
	typeIPv4 = 1
	typeName = 3
	typeIPv6 = 4
)

// maxUDPHeader is the length of the longest header that the relay writes, in bytes.
const maxUDPHeader = 4 + 16 + 2

// target is the destination of a client's datagram: an address or a name, and a port.
type target struct {
	addr netip.Addr
	name string
	port uint16
}

func (t target) String() string {
	if t.name != "" {
		return t.name + ":" + strconv.Itoa(int(t.port))
	}
	return netip.AddrPortFrom(t.addr, t.port).String()
}

// parseUDP reads the header of RFC 1928 section 7, RSV(2) FRAG ATYP ADDR PORT, and returns the data
// after it. Fragments are Invalid: no client is known to send them, and the RFC lets a relay drop
// them.
func parseUDP(p []byte) (to target, data []byte, err error) {
	const fixed = 4
	if len(p) < fixed+1 {
		return to, nil, mesh.Errorf(mesh.Invalid, "proxy: a datagram of %d bytes has no SOCKS5 header", len(p))
	}
	if p[0] != 0 || p[1] != 0 {
		return to, nil, mesh.Errorf(mesh.Invalid, "proxy: a datagram's reserved field is %x", p[:2])
	}
	if p[2] != 0 {
		return to, nil, mesh.Errorf(mesh.Invalid, "proxy: a datagram is fragment %d; fragmentation is not supported", p[2])
	}
	size := 0
	switch kind := p[3]; kind {
	case typeIPv4:
		size = 4
	case typeIPv6:
		size = 16
	case typeName:
		size = 1 + int(p[fixed])
	default:
		return to, nil, mesh.Errorf(mesh.Invalid, "proxy: a datagram's address type is %d", kind)
	}
	if len(p) < fixed+size+2 {
		return to, nil, mesh.Errorf(mesh.Invalid, "proxy: a datagram's address is truncated")
	}
	addr, rest := p[fixed:fixed+size], p[fixed+size:]
	to.port, data = binary.BigEndian.Uint16(rest), rest[2:]
	if p[3] == typeName {
		to.name = string(addr[1:])
		if a, ok := hostport.Literal(to.name); ok { // some clients write addresses as names
			to.addr, to.name = a, ""
		} else if to.name == "" || !plausible(to.name) {
			return to, nil, mesh.Errorf(mesh.Invalid, "proxy: %q is not a valid host name", to.name)
		}
	} else {
		a, _ := netip.AddrFromSlice(addr)
		to.addr = a.Unmap()
	}
	if to.port == 0 {
		return to, nil, mesh.Errorf(mesh.Invalid, "proxy: a datagram has destination port 0")
	}
	return to, data, nil
}

// appendUDP appends the header of a datagram from an address.
func appendUDP(b []byte, from netip.AddrPort) []byte {
	kind := byte(typeIPv6)
	if from.Addr().Is4() {
		kind = typeIPv4
	}
	b = append(b, 0, 0, 0, kind)
	b = append(b, from.Addr().AsSlice()...)
	return binary.BigEndian.AppendUint16(b, from.Port())
}
