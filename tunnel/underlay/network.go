package underlay

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"golang.zx2c4.com/wireguard/conn"

	"nexd/tunnel/udp"
)

// sockets are a UDP socket of each address family, as package tunnel/udp opens them.
type sockets interface {
	Port() uint16
	Readers() (v4, v6 udp.Reader) // nil for a missing family
	SendFrom(packets [][]byte, dst netip.AddrPort, source netip.Addr, plain bool) (udp.Refused, error)
	Route(dst netip.AddrPort) (source netip.Addr)
	SendHops(packet []byte, dst netip.AddrPort, hops int) error
	SetMark(mark uint32) error
	Close() error
}

// openFunc opens sockets on a port, or on a free one if port is 0.
type openFunc func(port uint16, log *slog.Logger) (sockets, error)

func openUDP(port uint16, log *slog.Logger) (sockets, error) {
	s, err := udp.Open(port, log)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// openSockets are sockets that WireGuard uses.
type openSockets struct {
	sockets
	closed chan struct{} // closed with them
}

// network is the life of a bind's sockets: reserved by New, used between Open and Close.
type network struct {
	open   openFunc
	logger *slog.Logger

	mu       sync.Mutex // guards what follows
	reserved sockets    // opened by New, not yet used; nil = none
	port     uint16
	mark     uint32
	shut     bool

	socks   atomic.Pointer[openSockets] // nil unless open; written under mu
	changed atomic.Int64                // moment of the last change of the host's addresses or routes; 0 = none
}

// reserve opens sockets for the first start.
func (n *network) reserve(port uint16) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	var err error
	if n.reserved, err = n.open(port, n.logger); err != nil {
		return err
	}
	n.port = n.reserved.Port()
	return nil
}

// start gives WireGuard sockets: those reserved, or new ones. Port 0 means the port of
// before.
func (n *network) start(port uint16) (*openSockets, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.shut {
		return nil, net.ErrClosed
	}
	if n.socks.Load() != nil {
		return nil, conn.ErrBindAlreadyOpen
	}
	if port == 0 {
		port = n.port
	}
	socks := n.reserved
	n.reserved = nil
	if socks != nil && socks.Port() != port {
		socks.Close()
		socks = nil
	}
	if socks == nil {
		var err error
		if socks, err = n.open(port, n.logger); err != nil {
			return nil, err
		}
	}
	if n.mark != 0 {
		if err := socks.SetMark(n.mark); err != nil {
			socks.Close()
			return nil, err
		}
	}
	n.port = socks.Port()
	open := &openSockets{socks, make(chan struct{})}
	n.socks.Store(open)
	return open, nil
}

// stop closes the sockets that WireGuard uses. Reserved sockets stay open.
func (n *network) stop() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if socks := n.socks.Swap(nil); socks != nil {
		close(socks.closed)
		return socks.Close()
	}
	return nil
}

// shutdown closes all sockets for good.
func (n *network) shutdown() error {
	err := n.stop()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.shut = true
	if n.reserved != nil {
		err = errors.Join(err, n.reserved.Close())
		n.reserved = nil
	}
	return err
}

func (n *network) setMark(mark uint32) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mark = mark
	if socks := n.socks.Load(); socks != nil {
		return socks.SetMark(mark)
	}
	return nil
}

func (n *network) localPort() uint16 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.port
}
