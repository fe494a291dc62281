//go:build !linux

package udprun

import "net/netip"

// system is empty on this system.
type system struct{}

func (c *Conn) setOptions() {}

// write is not used on this system.
func (c *Conn) write(run []byte, _ int, to netip.AddrPort, _ netip.Addr) error {
	_, err := c.udp.WriteToUDPAddrPort(run, to)
	return err
}

func sourceRefused(error) bool { return false }

func refusal(error) (never, here bool) { return false, false }

// Reader reads for one goroutine.
type Reader struct{ c *Conn }

// Reader returns a new Reader.
func (c *Conn) Reader() *Reader { return &Reader{c} }

// Read waits for a datagram. The buffer has BufferSize.
func (r *Reader) Read(buf []byte) (n, segment int, from netip.AddrPort, err error) {
	n, from, err = r.c.udp.ReadFromUDPAddrPort(buf)
	return n, n, from, err
}

// Asked is not valid on this system, which does not report the address that a datagram was sent to.
func (r *Reader) Asked() (at netip.Addr) { return at }
