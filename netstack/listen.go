package netstack

import (
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"

	"nexd/netstack/gvisor"
)

// backlog is the number of connections that may wait for Accept; further SYNs are
// ignored.
const backlog = 1024

// listener accepts TCP connections to a port of one own address or of all.
type listener struct {
	n      *Net
	ep     tcpip.Endpoint
	queue  *waiter.Queue
	entry  waiter.Entry
	addr   *net.TCPAddr
	side   side
	closed atomic.Bool
}

// ListenTCP listens on an own address. The unspecified address means all own
// addresses of its family, and port 0 a free port.
func (n *Net) ListenTCP(addr netip.AddrPort) (net.Listener, error) {
	l, err := n.listenTCP(addr)
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: "tcp", Source: net.TCPAddrFromAddrPort(addr), Err: err}
	}
	return l, nil
}

func (n *Net) listenTCP(addr netip.AddrPort) (*listener, error) {
	addr, err := n.listenAddress(addr)
	if err != nil {
		return nil, err
	}
	l := &listener{n: n, queue: new(waiter.Queue)}
	l.side.init()
	var terr tcpip.Error
	if l.ep, terr = n.stack.NewEndpoint(tcp.ProtocolNumber, gvisor.Protocol(addr.Addr()), l.queue); terr != nil {
		return nil, gvisor.Errno(terr)
	}
	l.ep.SocketOptions().SetV6Only(true)
	if terr = l.ep.Bind(gvisor.FullAddress(addr)); terr == nil {
		terr = l.ep.Listen(backlog)
	}
	if terr != nil {
		l.ep.Close()
		return nil, gvisor.Errno(terr)
	}
	bound, _ := l.ep.GetLocalAddress()
	l.addr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(addr.Addr(), bound.Port))
	l.entry.Init(l, waiter.EventIn|waiter.EventErr|waiter.EventHUp)
	l.queue.EventRegister(&l.entry)
	return l, nil
}

// listenAddress returns addr unmapped, or an error if it is not an own address.
func (n *Net) listenAddress(addr netip.AddrPort) (netip.AddrPort, error) {
	a := addr.Addr().Unmap()
	switch {
	case n.isClosed():
		return addr, net.ErrClosed
	case !a.IsValid() || !a.IsUnspecified() && !n.link.Own().Has(a):
		return addr, syscall.EADDRNOTAVAIL
	}
	return netip.AddrPortFrom(a, addr.Port()), nil
}

// NotifyEvent is called by the stack when a connection is ready to be accepted.
func (l *listener) NotifyEvent(waiter.EventMask) { l.side.ready.wake() }

// Accept waits for a connection, a *Conn.
func (l *listener) Accept() (net.Conn, error) {
	l.side.turn.Lock()
	defer l.side.turn.Unlock()
	for {
		if l.closed.Load() || l.n.isClosed() {
			return nil, l.opError("accept", net.ErrClosed)
		}
		ep, queue, err := l.ep.Accept(nil)
		if err == nil {
			return l.n.accepted(ep, queue), nil
		}
		if _, ok := err.(*tcpip.ErrWouldBlock); !ok {
			return nil, l.opError("accept", gvisor.Errno(err))
		}
		<-l.side.ready
	}
}

// accepted makes a Conn of an endpoint whose handshake is over.
func (n *Net) accepted(ep tcpip.Endpoint, queue *waiter.Queue) *Conn {
	remote, local := gvisor.Ends(ep.(*tcp.Endpoint).TransportEndpointInfo.ID)
	c := n.newConn(ep, queue, local, remote)
	n.link.Settle(c.ep, !remote.Addr().Is6())
	return c
}

// Close stops listening. Connections that were not accepted are reset.
func (l *listener) Close() error {
	if l.closed.Swap(true) {
		return l.opError("close", net.ErrClosed)
	}
	l.queue.EventUnregister(&l.entry)
	l.ep.Close()
	l.side.close()
	return nil
}

// Addr returns the address and port of the listener.
func (l *listener) Addr() net.Addr { return l.addr }

func (l *listener) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Source: l.addr, Err: err}
}

// ListenUDP binds a UDP socket, a *PacketConn, to an own address. The unspecified
// address means all own addresses of its family, and port 0 a free port.
func (n *Net) ListenUDP(addr netip.AddrPort) (net.PacketConn, error) {
	c, err := n.listenUDP(addr)
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: "udp", Source: net.UDPAddrFromAddrPort(addr), Err: err}
	}
	return c, nil
}

func (n *Net) listenUDP(addr netip.AddrPort) (*PacketConn, error) {
	addr, err := n.listenAddress(addr)
	if err != nil {
		return nil, err
	}
	queue := new(waiter.Queue)
	ep, terr := n.stack.NewEndpoint(udp.ProtocolNumber, gvisor.Protocol(addr.Addr()), queue)
	if terr != nil {
		return nil, gvisor.Errno(terr)
	}
	ep.SocketOptions().SetV6Only(true)
	if terr := ep.Bind(gvisor.FullAddress(addr)); terr != nil {
		ep.Close()
		return nil, gvisor.Errno(terr)
	}
	c, err := n.newUDPConn(ep, queue, netip.AddrPort{})
	if err != nil {
		return nil, err
	}
	c.local.IP = addr.Addr().AsSlice()
	return &PacketConn{c}, nil
}
