//go:build unix

package underlay

import (
	"errors"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
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
		serr = withHops(int(fd), hops, func() error {
			return unix.Sendto(int(fd), packet, 0, &unix.SockaddrInet4{Addr: dst.Addr().As4(), Port: int(dst.Port())})
		})
		return true
	})
	return errors.Join(err, serr)
}

// withHops does something while the socket's packets get over so many routers at most.
func withHops(fd, hops int, do func() error) error {
	usual, err := unix.GetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TTL)
	if err != nil {
		return err
	}
	if err = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TTL, hops); err != nil {
		return err
	}
	return errors.Join(do(), unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TTL, usual))
}
