package forward

import (
	"net"
	"net/netip"

	"nexd/internal/datagram"
	"nexd/internal/pktinfo"
)

// listenConn is the socket of a UDP rule. Its methods do not allocate.
type listenConn interface {
	// Receive also returns the address of this host that a datagram was sent to, if the socket
	// listens on several; otherwise at is not valid.
	Receive(b []byte) (n int, from netip.AddrPort, at netip.Addr, err error)
	// SendFrom sends from an address that Receive returned, or from any if it is not valid.
	SendFrom(b []byte, to netip.AddrPort, at netip.Addr) error
}

// adapt turns a UDP socket into a listenConn. A socket of the host that listens on every address
// answers from the address that the client sent to, if the system reports that address.
func adapt(pc net.PacketConn) listenConn {
	if u, ok := pc.(*net.UDPConn); ok {
		return pktinfo.Wrap(u)
	}
	return adapted{datagram.Adapt(pc)}
}

// adapted is a socket inside the mesh, or another that is none of the host's.
type adapted struct{ datagram.Conn }

func (a adapted) Receive(b []byte) (int, netip.AddrPort, netip.Addr, error) {
	n, from, err := a.ReadFromUDPAddrPort(b)
	return n, from, netip.Addr{}, err
}

func (a adapted) SendFrom(b []byte, to netip.AddrPort, _ netip.Addr) error {
	_, err := a.WriteToUDPAddrPort(b, to)
	return err
}
