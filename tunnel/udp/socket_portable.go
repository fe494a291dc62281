package udp

import (
	"net/netip"

	"nexd/internal/pktinfo"
)

// portable is a socket of the standard library that moves one datagram at a time. It
// serves systems other than Linux, and Linux when the kernel or a sandbox refuses the
// batch calls.
type portable struct{ c *pktinfo.Conn }

func newPortable(network string, port uint16) (socket, uint16, error) {
	c, port, err := listen(network, port)
	if err != nil {
		return nil, 0, err
	}
	return portable{pktinfo.Wrap(c)}, port, nil
}

func (s portable) newReader() Reader { return s }

func (s portable) Read(bufs [][]byte, sizes []int, spans []Span) (int, error) {
	n, src, at, err := s.c.Receive(bufs[0])
	switch {
	case err != nil && n > 0: // Windows reports a truncated datagram; no WireGuard message is that long
		return 0, nil
	case err != nil:
		return 0, err
	}
	sizes[0] = n
	spans[0] = Span{0, 1, netip.AddrPortFrom(src.Addr().Unmap(), src.Port()), at}
	return 1, nil
}

func (s portable) send(bufs [][]byte, dst netip.AddrPort, source netip.Addr, _ bool) (r Refused, first error) {
	for _, buf := range bufs {
		if err := s.c.SendFrom(buf, dst, source); err != nil && first == nil {
			first = err
		}
	}
	return r, first
}

func (s portable) sendHops(packet []byte, dst netip.AddrPort, hops int) error {
	return sendHops(s.c.UDPConn, packet, dst, hops)
}

func (s portable) setMark(mark uint32) error { return markSocket(s.c.UDPConn, mark) }

func (s portable) close() error { return s.c.Close() }
