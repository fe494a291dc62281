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
)

// backlog is how many connections wait for Accept before more are ignored.
const backlog = 1024

// listener accepts TCP connections to one port of an own address or of all.
type listener struct {
	n      *Net
	ep     tcpip.Endpoint
	queue  *waiter.Queue
	entry  waiter.Entry
	addr   *net.TCPAddr
	side   side
	closed atomic.Bool
}

// ListenTCP listens on an own address, or on all own addresses of the family if
// the address is unspecified; port 0 picks one.
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
	if l.ep, terr = n.stack.NewEndpoint(tcp.ProtocolNumber, protocolOf(addr.Addr()), l.queue); terr != nil {
		return nil, errno(terr)
	}
	l.ep.SocketOptions().SetV6Only(true)
	if terr = l.ep.Bind(fullAddress(addr)); terr == nil {
		terr = l.ep.Listen(backlog)
	}
	if terr != nil {
		l.ep.Close()
		return nil, errno(terr)
	}
	bound, _ := l.ep.GetLocalAddress()
	l.addr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(addr.Addr(), bound.Port))
	l.entry.Init(l, waiter.EventIn|waiter.EventErr|waiter.EventHUp)
	l.queue.EventRegister(&l.entry)
	return l, nil
}

// listenAddress refuses addresses that are not this node's.
func (n *Net) listenAddress(addr netip.AddrPort) (netip.AddrPort, error) {
	a := addr.Addr().Unmap()
	switch {
	case n.isClosed():
		return addr, net.ErrClosed
	case !a.IsValid() || !a.IsUnspecified() && !n.link.own.Load().has(a):
		return addr, syscall.EADDRNOTAVAIL
	}
	return netip.AddrPortFrom(a, addr.Port()), nil
}

// NotifyEvent is called by the stack when a connection came.
func (l *listener) NotifyEvent(waiter.EventMask) { l.side.ready.wake() }

// Accept waits for a connection; it is a *Conn.
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
			return nil, l.opError("accept", errno(err))
		}
		<-l.side.ready
	}
}

// accepted makes a Conn of an endpoint whose handshake is over.
func (n *Net) accepted(ep tcpip.Endpoint, queue *waiter.Queue) *Conn {
	id := ep.(*tcp.Endpoint).TransportEndpointInfo.ID
	local := netip.AddrPortFrom(fromAddress(id.LocalAddress), id.LocalPort)
	remote := netip.AddrPortFrom(fromAddress(id.RemoteAddress), id.RemotePort)
	c := n.newConn(ep, queue, local, remote)
	n.settle(c)
	return c
}

// Close stops listening; connections not yet accepted are reset.
func (l *listener) Close() error {
	if l.closed.Swap(true) {
		return l.opError("close", net.ErrClosed)
	}
	l.queue.EventUnregister(&l.entry)
	l.ep.Close()
	l.side.close()
	return nil
}

// Addr is the address listened on, with the port that was picked.
func (l *listener) Addr() net.Addr { return l.addr }

func (l *listener) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Source: l.addr, Err: err}
}

// ListenUDP binds a UDP socket to an own address, or to all own addresses of the
// family if the address is unspecified; port 0 picks one. It is a *PacketConn.
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
	ep, terr := n.stack.NewEndpoint(udp.ProtocolNumber, protocolOf(addr.Addr()), queue)
	if terr != nil {
		return nil, errno(terr)
	}
	ep.SocketOptions().SetV6Only(true)
	if terr := ep.Bind(fullAddress(addr)); terr != nil {
		ep.Close()
		return nil, errno(terr)
	}
	c, err := n.newUDPConn(ep, queue, netip.AddrPort{})
	if err != nil {
		return nil, err
	}
	c.local.IP = addr.Addr().AsSlice()
	return &PacketConn{c}, nil
}
