package udp

import (
	"errors"
	"net"
	"net/netip"

	"golang.org/x/sys/windows"
)

// sendHops sends one IPv4 packet with a time to live of hops. It holds the socket's
// write lock, so that no other packet leaves with that time to live.
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

// withHops calls do while the socket's time to live is hops.
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
