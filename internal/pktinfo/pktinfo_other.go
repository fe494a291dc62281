//go:build !linux

package pktinfo

import "net/netip"

// system is empty on this system.
type system struct{}

func (c *Conn) enable() {}

// Receive reads a datagram. This system does not report the address that it was sent to.
func (c *Conn) Receive(b []byte) (n int, from netip.AddrPort, at netip.Addr, err error) {
	n, from, err = c.ReadFromUDPAddrPort(b)
	return n, from, at, err
}

// SendFrom sends a datagram from the address that the host's routes select.
func (c *Conn) SendFrom(b []byte, to netip.AddrPort, _ netip.Addr) error {
	_, err := c.WriteToUDPAddrPort(b, c.to(to))
	return err
}
