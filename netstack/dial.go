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

	"nexd/netstack/gvisor"
)

// DialContext dials a literal address and numeric port. The network is tcp, tcp4,
// tcp6, udp, udp4 or udp6. It resolves no names.
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

// DialTCP connects to dst. It returns ECONNREFUSED for a reset, EHOSTUNREACH or
// ENETUNREACH for an ICMP error, and ETIMEDOUT if there is no answer before ctx's
// deadline.
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
	te, terr := n.stack.NewEndpoint(tcp.ProtocolNumber, gvisor.Protocol(dst.Addr()), queue)
	if terr != nil {
		return nil, gvisor.Errno(terr)
	}
	ep := te.(*tcp.Endpoint)
	// Without a local address the stack could choose one that a flow to an advertised
	// prefix uses. Bind would set it as well, but reserve the port for all
	// destinations.
	ep.TransportEndpointInfo.ID.LocalAddress = gvisor.Address(src)
	c := n.newConn(ep, queue, netip.AddrPortFrom(src, 0), dst)
	if err := c.connect(ctx, dst); err != nil {
		n.dialsFailed.Add(1)
		c.Close()
		return nil, err
	}
	n.link.Settle(ep, src.Is4())
	if a, terr := ep.GetLocalAddress(); terr == nil {
		c.local.Port = int(a.Port)
	}
	return c, nil
}

// dialSource returns the source address for dst, or the error that is known before
// any packet is sent.
func (n *Net) dialSource(ctx context.Context, dst netip.AddrPort) (netip.Addr, error) {
	switch {
	case ctx.Err() != nil:
		return netip.Addr{}, gvisor.ContextError(ctx)
	case n.isClosed():
		return netip.Addr{}, net.ErrClosed
	case !dst.IsValid() || dst.Addr().IsUnspecified() || dst.Port() == 0:
		return netip.Addr{}, syscall.EADDRNOTAVAIL
	case dst.Addr().IsLoopback() || dst.Addr().IsMulticast() || dst.Addr().Zone() != "":
		return netip.Addr{}, syscall.ENETUNREACH
	}
	src, ok := n.link.Own().Source(dst.Addr())
	if !ok {
		return netip.Addr{}, syscall.ENETUNREACH
	}
	return src, nil
}

// connect waits until the handshake succeeds or fails.
func (c *Conn) connect(ctx context.Context, dst netip.AddrPort) error {
	c.wr.turn.Lock()
	defer c.wr.turn.Unlock()
	err := c.ep.Connect(gvisor.FullAddress(dst))
	if _, ok := err.(*tcpip.ErrConnectStarted); !ok {
		return gvisor.Errno(err)
	}
	for {
		select {
		case <-ctx.Done():
			return gvisor.ContextError(ctx)
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
				return gvisor.Errno(err)
			}
			return syscall.ECONNREFUSED
		}
		return nil
	}
}

// DialUDP makes a UDP socket that is connected to dst. If dst's port is closed, a
// later Read or Write returns ECONNREFUSED.
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
	ep, terr := n.stack.NewEndpoint(udp.ProtocolNumber, gvisor.Protocol(dst.Addr()), queue)
	if terr != nil {
		return nil, gvisor.Errno(terr)
	}
	if terr = ep.Bind(gvisor.FullAddress(netip.AddrPortFrom(src, 0))); terr == nil {
		terr = ep.Connect(gvisor.FullAddress(dst))
	}
	if terr != nil {
		ep.Close()
		return nil, gvisor.Errno(terr)
	}
	return n.newUDPConn(ep, queue, dst)
}

// dialError wraps the error of a dial.
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
