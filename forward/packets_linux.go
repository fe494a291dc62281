package forward

import (
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// wildcard listens on every address of the host, and gets from the kernel the address that each
// datagram was sent to. One goroutine reads.
type wildcard struct {
	*net.UDPConn
	six bool
	oob [128]byte // used by the reading goroutine
}

// adaptWildcard returns nil if the kernel does not report the address.
func adaptWildcard(c *net.UDPConn) listenConn {
	w := &wildcard{UDPConn: c, six: c.LocalAddr().(*net.UDPAddr).IP.To4() == nil}
	raw, err := c.SyscallConn()
	if err != nil {
		return nil
	}
	var optErr error
	err = raw.Control(func(fd uintptr) {
		if w.six {
			optErr = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
		} else {
			optErr = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
		}
	})
	if err != nil || optErr != nil {
		return nil
	}
	return w
}

func (w *wildcard) read(b []byte) (int, netip.AddrPort, netip.Addr, error) {
	n, oobn, _, from, err := w.ReadMsgUDPAddrPort(b, w.oob[:])
	if err != nil {
		return n, from, netip.Addr{}, err
	}
	return n, from, destinationOf(w.oob[:oobn]), nil
}

func (w *wildcard) write(b []byte, to netip.AddrPort, source []byte) error {
	_, _, err := w.WriteMsgUDPAddrPort(b, source, to)
	return err
}

// source returns a control message with a struct in_pktinfo or in6_pktinfo.
func (w *wildcard) source(at netip.Addr) []byte {
	switch {
	case !at.IsValid():
		return nil
	case at.Is4():
		return unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: at.As4()})
	default:
		return unix.PktInfo6(&unix.Inet6Pktinfo{Addr: at.As16()})
	}
}

// destinationOf returns the address in the control messages of a datagram. A broadcast or multicast
// address cannot be a source: for IPv4 the kernel reports the address of the interface instead, for
// IPv6 the result is not valid.
func destinationOf(oob []byte) netip.Addr {
	for len(oob) > 0 {
		h, data, rest, err := unix.ParseOneSocketControlMessage(oob)
		if err != nil {
			return netip.Addr{}
		}
		switch {
		case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
			return netip.AddrFrom4([4]byte(data[4:8])) // ipi_spec_dst, after the interface
		case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
			if a := netip.AddrFrom16([16]byte(data[:16])); !a.IsMulticast() {
				return a
			}
		}
		oob = rest
	}
	return netip.Addr{}
}
