package filter

import (
	"encoding/binary"
	"net/netip"

	"nexd/internal/packet"
	"nexd/internal/sealed"
)

// nested are the UDP addresses of nodes that lie in prefixes of the mesh. A message of
// WireGuard that goes there inside the mesh would be WireGuard inside WireGuard: a node in a
// container behind one router would reach a node behind another one "directly", by way of
// both routers.
type nested struct {
	ports [1 << 16 / 64]uint64 // a bit for each port in addrs
	addrs map[netip.AddrPort]struct{}
}

// SetEndpoints replaces the addresses to which no message of WireGuard passes, in either
// direction: those of nodes that packets of the mesh could reach. Other packets to these
// addresses pass.
func (f *Filter) SetEndpoints(addrs []netip.AddrPort) {
	if len(addrs) == 0 {
		f.nested.Store(nil)
		return
	}
	n := &nested{addrs: make(map[netip.AddrPort]struct{}, len(addrs))}
	for _, a := range addrs {
		n.ports[a.Port()/64] |= 1 << (a.Port() % 64)
		n.addrs[netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())] = struct{}{}
	}
	f.nested.Store(n)
}

// Nested counts the messages of WireGuard that were dropped because of SetEndpoints.
func (f *Filter) Nested() uint64 { return f.wrapped.Load() }

// holds reports whether b is an IP packet with a message of WireGuard for one of the
// addresses. A message in fragments passes: probes and handshakes are too short for that.
func (n *nested) holds(b []byte) bool {
	if n == nil || len(b) < packet.IPv4HeaderLen {
		return false
	}
	var at int
	switch {
	case b[0]>>4 == 4 && b[9] == packet.ProtoUDP && binary.BigEndian.Uint16(b[6:])&0x3fff == 0: // of one piece
		at = int(b[0]&0x0f) * 4
	case b[0]>>4 == 6 && len(b) >= packet.IPv6HeaderLen && b[6] == packet.ProtoUDP:
		at = packet.IPv6HeaderLen
	default:
		return false
	}
	if len(b) < at+packet.UDPHeaderLen {
		return false
	}
	port := binary.BigEndian.Uint16(b[at+2:])
	if n.ports[port/64]&(1<<(port%64)) == 0 || sealed.Type(b[at+packet.UDPHeaderLen:]) == 0 {
		return false
	}
	dst, _ := netip.AddrFromSlice(packet.Destination(b))
	_, ok := n.addrs[netip.AddrPortFrom(dst, port)]
	return ok
}

// Read implements tun.Device: the packets that go into the mesh.
func (f *Filter) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	for {
		count, err := f.Device.Read(bufs, sizes, offset)
		n := f.nested.Load()
		if n == nil || count == 0 {
			return count, err
		}
		kept := 0
		for i := range count {
			b := bufs[i][offset : offset+sizes[i]]
			if n.holds(b) {
				f.wrapped.Add(1)
				continue
			}
			if kept != i {
				copy(bufs[kept][offset:], b) // WireGuard expects each packet in the buffer of its place
				sizes[kept] = len(b)
			}
			kept++
		}
		if kept > 0 || err != nil {
			return kept, err
		}
	}
}
