package forward

import (
	"net"
	"net/netip"

	"nexd/internal/datagram"
)

// listenConn is the socket of a UDP rule. Its methods do not allocate.
type listenConn interface {
	// read also returns the address of this host that a datagram was sent to, if the socket
	// listens on several; otherwise at is not valid.
	read(b []byte) (n int, from netip.AddrPort, at netip.Addr, err error)
	// write sends from the address that source stands for, or from any address if it is nil.
	write(b []byte, to netip.AddrPort, source []byte) error
	// source turns the address that read returned into an argument for write.
	source(at netip.Addr) []byte
}

// adapt turns a UDP socket into a listenConn. A socket that listens on every address of the host
// answers from the address that the client sent to, if the system reports that address.
func adapt(pc net.PacketConn) listenConn {
	if u, ok := pc.(*net.UDPConn); ok && isWildcard(u.LocalAddr()) {
		if c := adaptWildcard(u); c != nil {
			return c
		}
	}
	return adapted{datagram.Adapt(pc)}
}

func isWildcard(a net.Addr) bool {
	u, ok := a.(*net.UDPAddr)
	return ok && u.AddrPort().Addr().IsUnspecified()
}

// adapted is a socket with one address, or one whose address the system does not report.
type adapted struct{ datagram.Conn }

func (a adapted) read(b []byte) (int, netip.AddrPort, netip.Addr, error) {
	n, from, err := a.ReadFromUDPAddrPort(b)
	return n, from, netip.Addr{}, err
}

func (a adapted) write(b []byte, to netip.AddrPort, _ []byte) error {
	_, err := a.WriteToUDPAddrPort(b, to)
	return err
}

func (a adapted) source(netip.Addr) []byte { return nil }
