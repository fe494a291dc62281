package netstack

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// DialContext dials tcp, tcp4, tcp6, udp, udp4 or udp6 to a literal address and
// numeric port; names are for others to resolve.
func (n *Net) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	dst, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: &net.AddrError{Err: "not a literal address and port", Addr: address}}
	}
	dst = netip.AddrPortFrom(dst.Addr().Unmap(), dst.Port())
	switch network {
	case "tcp4", "udp4":
		if !dst.Addr().Is4() {
			return nil, &net.OpError{Op: "dial", Net: network, Err: &net.AddrError{Err: "not an IPv4 address", Addr: address}}
		}
	case "tcp6", "udp6":
		if dst.Addr().Is4() {
			return nil, &net.OpError{Op: "dial", Net: network, Err: &net.AddrError{Err: "not an IPv6 address", Addr: address}}
		}
	}
	switch network {
	case "tcp", "tcp4", "tcp6":
		return n.DialTCP(ctx, dst)
	case "udp", "udp4", "udp6":
		return n.DialUDP(ctx, dst)
	}
	return nil, &net.OpError{Op: "dial", Net: network, Err: net.UnknownNetworkError(network)}
}

// DialTCP connects to dst. A refusal is ECONNREFUSED, an ICMP answer
// EHOSTUNREACH or ENETUNREACH at once, silence until ctx's deadline ETIMEDOUT.
func (n *Net) DialTCP(ctx context.Context, dst netip.AddrPort) (net.Conn, error) {
	c, err := n.dialTCP(ctx, dst)
	if err != nil {
		return nil, dialError("tcp", dst, err)
	}
	return c, nil
}

func (n *Net) dialTCP(ctx context.Context, dst netip.AddrPort) (*Conn, error) {
	dst = netip.AddrPortFrom(dst.Addr().Unmap(), dst.Port())
	src, err := n.dialSource(ctx, dst)
	if err != nil {
		return nil, err
	}
	queue := new(waiter.Queue)
	te, terr := n.stack.NewEndpoint(tcp.ProtocolNumber, protocolOf(dst.Addr()), queue)
	if terr != nil {
		return nil, errno(terr)
	}
	ep := te.(*tcp.Endpoint)
	// Not by Bind, which would reserve the port for all destinations at once. Left
	// alone, the stack could choose any address that a flow to an advertised
	// prefix uses just now.
	ep.TransportEndpointInfo.ID.LocalAddress = toAddress(src)
	c := n.newConn(ep, queue, netip.AddrPortFrom(src, 0), dst)
	if err := c.connect(ctx, dst); err != nil {
		c.Close()
		return nil, err
	}
	n.settle(c)
	if a, terr := ep.GetLocalAddress(); terr == nil {
		c.local.Port = int(a.Port)
	}
	return c, nil
}

// dialSource checks what can be known before anything is sent.
func (n *Net) dialSource(ctx context.Context, dst netip.AddrPort) (netip.Addr, error) {
	switch {
	case ctx.Err() != nil:
		return netip.Addr{}, ctxError(ctx)
	case n.isClosed():
		return netip.Addr{}, net.ErrClosed
	case !dst.IsValid() || dst.Addr().IsUnspecified() || dst.Port() == 0:
		return netip.Addr{}, syscall.EADDRNOTAVAIL
	case dst.Addr().IsLoopback() || dst.Addr().IsMulticast() || dst.Addr().Zone() != "":
		return netip.Addr{}, syscall.ENETUNREACH
	}
	src, ok := n.link.own.Load().source(dst.Addr())
	if !ok {
		return netip.Addr{}, syscall.ENETUNREACH
	}
	return src, nil
}

// connect waits for the handshake to end in one way or another.
func (c *Conn) connect(ctx context.Context, dst netip.AddrPort) error {
	c.wr.turn.Lock()
	defer c.wr.turn.Unlock()
	err := c.ep.Connect(fullAddress(dst))
	if _, ok := err.(*tcpip.ErrConnectStarted); !ok {
		return errno(err)
	}
	for {
		select {
		case <-ctx.Done():
			return ctxError(ctx)
		case <-c.n.done:
			return net.ErrClosed
		case <-c.wr.ready:
		}
		switch state := c.ep.EndpointState(); state {
		case tcp.StateConnecting, tcp.StateSynSent, tcp.StateSynRecv:
			continue
		case tcp.StateError, tcp.StateClose:
			if c.n.isClosed() {
				return net.ErrClosed
			}
			if err := c.ep.LastError(); err != nil {
				return errno(err)
			}
			return syscall.ECONNREFUSED
		}
		return nil
	}
}

// DialUDP makes a UDP socket that speaks with dst only. That dst's port is closed
// comes back as ECONNREFUSED from a later Read or Write.
func (n *Net) DialUDP(ctx context.Context, dst netip.AddrPort) (net.Conn, error) {
	c, err := n.dialUDP(ctx, dst)
	if err != nil {
		return nil, dialError("udp", dst, err)
	}
	return c, nil
}

func (n *Net) dialUDP(ctx context.Context, dst netip.AddrPort) (*udpConn, error) {
	dst = netip.AddrPortFrom(dst.Addr().Unmap(), dst.Port())
	src, err := n.dialSource(ctx, dst)
	if err != nil {
		return nil, err
	}
	queue := new(waiter.Queue)
	ep, terr := n.stack.NewEndpoint(udp.ProtocolNumber, protocolOf(dst.Addr()), queue)
	if terr != nil {
		return nil, errno(terr)
	}
	if terr = ep.Bind(fullAddress(netip.AddrPortFrom(src, 0))); terr == nil {
		terr = ep.Connect(fullAddress(dst))
	}
	if terr != nil {
		ep.Close()
		return nil, errno(terr)
	}
	return n.newUDPConn(ep, queue, dst)
}

// dialError wraps err for a dial that never had a local address.
func dialError(network string, dst netip.AddrPort, err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return err
	}
	var addr net.Addr = net.TCPAddrFromAddrPort(dst)
	if network == "udp" {
		addr = net.UDPAddrFromAddrPort(dst)
	}
	return &net.OpError{Op: "dial", Net: network, Addr: addr, Err: err}
}
