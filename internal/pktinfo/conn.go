package pktinfo

import (
	"net"
	"net/netip"
)

// Conn is a UDP socket that reports the address that was asked and answers from it. One goroutine
// at a time may call Receive; any number may call SendFrom. Neither allocates.
type Conn struct {
	*net.UDPConn
	six bool // the socket takes IPv6 addresses, and IPv4 ones in their mapped form
	system
}

// Wrap makes a Conn of a socket. Of a socket with one address, Receive reports no address.
func Wrap(c *net.UDPConn) *Conn {
	at, _ := c.LocalAddr().(*net.UDPAddr)
	w := &Conn{UDPConn: c, six: at != nil && at.IP.To4() == nil}
	if at != nil && at.IP.IsUnspecified() {
		w.enable()
	}
	return w
}

// to is an address in the form that the socket takes.
func (c *Conn) to(a netip.AddrPort) netip.AddrPort {
	if c.six {
		return a
	}
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}
