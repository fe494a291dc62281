package datagram

import (
	"fmt"
	"net"
	"net/netip"
)

// Conn is an unconnected UDP socket whose addresses cost no allocation. *net.UDPConn and the
// sockets of package netstack have these methods.
type Conn interface {
	ReadFromUDPAddrPort(b []byte) (n int, from netip.AddrPort, err error)
	WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error)
	LocalAddr() net.Addr
	Close() error
}

// Adapt returns pc itself if it is a Conn, and otherwise a Conn that converts the addresses of
// its ReadFrom and WriteTo.
func Adapt(pc net.PacketConn) Conn {
	if c, ok := pc.(Conn); ok {
		return c
	}
	return adapted{pc}
}

type adapted struct{ net.PacketConn }

// ReadFromUDPAddrPort implements Conn.
func (a adapted) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	n, from, err := a.ReadFrom(b)
	if err != nil {
		return n, netip.AddrPort{}, err
	}
	u, ok := from.(*net.UDPAddr)
	if !ok {
		return n, netip.AddrPort{}, fmt.Errorf("datagram: the sender %v has no UDP address", from)
	}
	return n, u.AddrPort(), nil
}

// WriteToUDPAddrPort implements Conn.
func (a adapted) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	return a.WriteTo(b, net.UDPAddrFromAddrPort(to))
}
