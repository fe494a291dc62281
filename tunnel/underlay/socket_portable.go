package underlay

import (
	"net"
	"net/netip"
)

// portable is a socket by the standard library's means: one datagram at a time.
// It serves the systems without a better one, and Linux where the kernel, or a
// sandbox, refuses the batch calls.
type portable struct{ c *net.UDPConn }

func newPortable(network string, port uint16) (socket, uint16, error) {
	c, port, err := listen(network, port)
	if err != nil {
		return nil, 0, err
	}
	return portable{c}, port, nil
}

func (s portable) newReader() reader { return s }

func (s portable) read(bufs [][]byte, sizes []int, spans []span) (int, error) {
	n, src, err := s.c.ReadFromUDPAddrPort(bufs[0])
	switch {
	case err != nil && n > 0: // cut short, as Windows says; no WireGuard message is so long
		return 0, nil
	case err != nil:
		return 0, err
	}
	sizes[0] = n
	spans[0] = span{0, 1, netip.AddrPortFrom(src.Addr().Unmap(), src.Port())}
	return 1, nil
}

func (s portable) send(bufs [][]byte, dst netip.AddrPort, _ bool) (bool, error) {
	var first error
	for _, buf := range bufs {
		if _, err := s.c.WriteToUDPAddrPort(buf, dst); err != nil && first == nil {
			first = err
		}
	}
	return false, first
}

func (s portable) sendHops(packet []byte, dst netip.AddrPort, hops int) error {
	return sendHops(s.c, packet, dst, hops)
}

func (s portable) setMark(mark uint32) error { return markSocket(s.c, mark) }

func (s portable) close() error { return s.c.Close() }
