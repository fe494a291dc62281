package underlay

import (
	"errors"
	"net"
	"net/netip"

	"golang.org/x/sys/windows"
)

// sendHops sends one IPv4 packet that gets over so many routers at most. Nobody else
// sends by the socket meanwhile: its lock for writing is held.
func sendHops(c *net.UDPConn, packet []byte, dst netip.AddrPort, hops int) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var serr error
	err = raw.Write(func(fd uintptr) bool {
		serr = withHops(windows.Handle(fd), hops, func() error {
			return windows.Sendto(windows.Handle(fd), packet, 0, &windows.SockaddrInet4{Addr: dst.Addr().As4(), Port: int(dst.Port())})
		})
		return true
	})
	return errors.Join(err, serr)
}

// withHops does something while the socket's packets get over so many routers at most.
func withHops(fd windows.Handle, hops int, do func() error) error {
	usual, err := windows.GetsockoptInt(fd, windows.IPPROTO_IP, windows.IP_TTL)
	if err != nil {
		return err
	}
	if err = windows.SetsockoptInt(fd, windows.IPPROTO_IP, windows.IP_TTL, hops); err != nil {
		return err
	}
	return errors.Join(do(), windows.SetsockoptInt(fd, windows.IPPROTO_IP, windows.IP_TTL, usual))
}
