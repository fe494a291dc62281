package forward

import (
	"fmt"
	"net"
	"net/netip"
)

// packetConn is what a UDP rule listens on, without allocations.
type packetConn interface {
	// read also says to which address of this host a datagram came, if that is
	// not clear from the conn; else at is not valid.
	read(b []byte) (n int, from netip.AddrPort, at netip.Addr, err error)
	// write sends from the address that source stands for; nil is any.
	write(b []byte, to netip.AddrPort, source []byte) error
	// source is what write takes for an address that read gave.
	source(at netip.Addr) []byte
}

// adapt makes a packetConn of any packet conn of UDP. One that listens on every
// address of the host answers from the address that it was asked at, where the system
// can tell.
func adapt(pc net.PacketConn) packetConn {
	if u, ok := pc.(*net.UDPConn); ok && isWildcard(u.LocalAddr()) {
		if c := adaptWildcard(u); c != nil {
			return c
		}
	}
	if c, ok := pc.(addrPortConn); ok {
		return adapted{c}
	}
	return adapted{slow{pc}}
}

func isWildcard(a net.Addr) bool {
	u, ok := a.(*net.UDPAddr)
	return ok && u.AddrPort().Addr().IsUnspecified()
}

// addrPortConn is the part of a *net.UDPConn that says addresses without allocating.
type addrPortConn interface {
	ReadFromUDPAddrPort(b []byte) (n int, addr netip.AddrPort, err error)
	WriteToUDPAddrPort(b []byte, addr netip.AddrPort) (int, error)
}

// adapted has one address, or nobody can tell.
type adapted struct{ addrPortConn }

func (a adapted) read(b []byte) (int, netip.AddrPort, netip.Addr, error) {
	n, from, err := a.ReadFromUDPAddrPort(b)
	return n, from, netip.Addr{}, err
}

func (a adapted) write(b []byte, to netip.AddrPort, _ []byte) error {
	_, err := a.WriteToUDPAddrPort(b, to)
	return err
}

func (a adapted) source(netip.Addr) []byte { return nil }

// slow gives every packet conn of UDP the methods of an addrPortConn.
type slow struct{ net.PacketConn }

func (a slow) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	n, from, err := a.ReadFrom(b)
	if err != nil {
		return n, netip.AddrPort{}, err
	}
	u, ok := from.(*net.UDPAddr)
	if !ok {
		return n, netip.AddrPort{}, fmt.Errorf("forward: sender %v is no UDP address", from)
	}
	return n, u.AddrPort(), nil
}

func (a slow) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	return a.WriteTo(b, net.UDPAddrFromAddrPort(to))
}
