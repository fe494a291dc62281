//go:build unix

package udp

import (
	"errors"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
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
		serr = withHops(int(fd), hops, func() error {
			return unix.Sendto(int(fd), packet, 0, &unix.SockaddrInet4{Addr: dst.Addr().As4(), Port: int(dst.Port())})
		})
		return true
	})
	return errors.Join(err, serr)
}

// withHops calls do while the socket's time to live is hops.
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
