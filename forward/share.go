package forward

import (
	"net"
	"net/netip"
	"sync"
)

// shares keep one client from having a whole rule: an address beyond this host gets a
// third of the limit at most, so that not even both of a node's leave nothing to others.
// The programs of this host all look alike and may have all of it.
type shares struct {
	mu   sync.Mutex
	held map[netip.Addr]int
}

// share is what one address may have of max.
func share(max int) int { return (max + 2) / 3 }

// take is false when the client has its share already.
func (s *shares) take(from netip.Addr, max int) bool {
	if unlimited(from) {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held[from] >= share(max) {
		return false
	}
	if s.held == nil {
		s.held = map[netip.Addr]int{}
	}
	s.held[from]++
	return true
}

func (s *shares) giveBack(from netip.Addr) {
	if unlimited(from) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held[from]--; s.held[from] <= 0 {
		delete(s.held, from)
	}
}

func unlimited(from netip.Addr) bool { return !from.IsValid() || from.IsLoopback() }

// clientOf is the address of a client; not valid if it has none, as over a Unix socket.
func clientOf(c net.Conn) netip.Addr {
	a, ok := c.RemoteAddr().(interface{ AddrPort() netip.AddrPort })
	if !ok {
		return netip.Addr{}
	}
	return a.AddrPort().Addr().Unmap()
}
