package forward

import (
	"net"
	"net/netip"

	"nexd/internal/quota"
)

// shares keep one client from taking a whole rule. An address beyond this host gets a third of
// the limit, so that a node that uses both of its addresses still leaves something to others.
// All programs of this host have the same address, so they may take the whole limit.
type shares struct{ held quota.Table[netip.Addr] }

// share is what one address may have of max.
func share(max int) int { return (max + 2) / 3 }

// take returns false when the client has its share already.
func (s *shares) take(from netip.Addr, max int) bool {
	return unlimited(from) || s.held.Take(from, share(max))
}

func (s *shares) giveBack(from netip.Addr) {
	if !unlimited(from) {
		s.held.Give(from)
	}
}

func unlimited(from netip.Addr) bool { return !from.IsValid() || from.IsLoopback() }

// clientOf is the address of a client. A client of a Unix socket has none; the result is then
// not valid.
func clientOf(c net.Conn) netip.Addr {
	a, ok := c.RemoteAddr().(interface{ AddrPort() netip.AddrPort })
	if !ok {
		return netip.Addr{}
	}
	return a.AddrPort().Addr().Unmap()
}
