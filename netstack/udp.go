package netstack

import (
	"bytes"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/waiter"

	"nexd/netstack/gvisor"
)

// udpConn is a UDP socket, connected if remote is valid.
type udpConn struct {
	n      *Net
	ep     tcpip.Endpoint
	queue  *waiter.Queue
	entry  waiter.Entry
	local  *net.UDPAddr
	remote netip.AddrPort
	rd, wr side
	closed atomic.Bool
}

var _ net.Conn = (*udpConn)(nil)

func (n *Net) newUDPConn(ep tcpip.Endpoint, queue *waiter.Queue, remote netip.AddrPort) (*udpConn, error) {
	bound, err := ep.GetLocalAddress()
	if err != nil {
		ep.Close()
		return nil, gvisor.Errno(err)
	}
	// Otherwise gVisor sets DF and gives all datagrams the ID 0. The fragments of two
	// large ones could then not be told apart.
	if err := ep.SetSockOptInt(tcpip.MTUDiscoverOption, int(tcpip.PMTUDiscoveryDont)); err != nil {
		ep.Close()
		return nil, gvisor.Errno(err)
	}
	c := &udpConn{n: n, ep: ep, queue: queue, remote: remote}
	c.local = net.UDPAddrFromAddrPort(netip.AddrPortFrom(gvisor.Addr(bound.Addr), bound.Port))
	c.rd.init()
	c.wr.init()
	c.entry.Init(c, waiter.EventIn|waiter.EventOut|waiter.EventErr|waiter.EventHUp)
	queue.EventRegister(&c.entry)
	return c, nil
}

// NotifyEvent is called by the stack when the socket becomes readable or writable.
func (c *udpConn) NotifyEvent(mask waiter.EventMask) {
	if mask&(waiter.EventIn|waiter.EventErr|waiter.EventHUp) != 0 {
		c.rd.ready.wake()
	}
	if mask&(waiter.EventOut|waiter.EventErr|waiter.EventHUp) != 0 {
		c.wr.ready.wake()
	}
}

// Read reads one datagram. Bytes that do not fit in b are lost.
func (c *udpConn) Read(b []byte) (int, error) {
	n, _, err := c.readFrom(b)
	return n, err
}

func (c *udpConn) readFrom(b []byte) (int, netip.AddrPort, error) {
	c.rd.turn.Lock()
	defer c.rd.turn.Unlock()
	for {
		if err := c.usable(&c.rd); err != nil {
			return 0, netip.AddrPort{}, c.opError("read", err)
		}
		w := tcpip.SliceWriter(b)
		res, err := c.ep.Read(&w, tcpip.ReadOptions{NeedRemoteAddr: true})
		if err == nil {
			return res.Count, netip.AddrPortFrom(gvisor.Addr(res.RemoteAddr.Addr), res.RemoteAddr.Port), nil
		}
		if _, ok := err.(*tcpip.ErrWouldBlock); !ok {
			return 0, netip.AddrPort{}, c.opError("read", c.errno(err))
		}
		<-c.rd.ready
	}
}

// WaitReadable blocks until Read would not block: there is a datagram or an error,
// the deadline has passed, or the connection is closed. A caller that waits here
// needs no buffer meanwhile.
func (c *udpConn) WaitReadable() error {
	c.rd.turn.Lock()
	defer c.rd.turn.Unlock()
	for {
		if err := c.usable(&c.rd); err != nil {
			return c.opError("read", err)
		}
		if c.ep.Readiness(waiter.EventIn|waiter.EventErr|waiter.EventHUp) != 0 {
			return nil
		}
		<-c.rd.ready
	}
}

// Write sends one datagram.
func (c *udpConn) Write(b []byte) (int, error) { return c.writeTo(b, nil) }

func (c *udpConn) writeTo(b []byte, to *tcpip.FullAddress) (int, error) {
	c.wr.turn.Lock()
	defer c.wr.turn.Unlock()
	for {
		if err := c.usable(&c.wr); err != nil {
			return 0, c.opError("write", err)
		}
		n, err := c.ep.Write(bytes.NewReader(b), tcpip.WriteOptions{To: to})
		if err == nil {
			return int(n), nil
		}
		if _, ok := err.(*tcpip.ErrWouldBlock); !ok {
			return 0, c.opError("write", c.errno(err))
		}
		<-c.wr.ready
	}
}

func (c *udpConn) usable(s *side) error {
	if c.closed.Load() || c.n.isClosed() {
		return net.ErrClosed
	}
	return s.deadlineError()
}

func (c *udpConn) errno(err tcpip.Error) error {
	if c.closed.Load() || c.n.isClosed() {
		return net.ErrClosed
	}
	switch err.(type) {
	case *tcpip.ErrClosedForReceive, *tcpip.ErrClosedForSend:
		return net.ErrClosed
	}
	return gvisor.Errno(err)
}

// Close ends blocked calls and frees the port.
func (c *udpConn) Close() error {
	if c.closed.Swap(true) {
		return c.opError("close", net.ErrClosed)
	}
	c.queue.EventUnregister(&c.entry)
	c.ep.Close()
	c.rd.close()
	c.wr.close()
	return nil
}

// LocalAddr returns a *net.UDPAddr, also after Close.
func (c *udpConn) LocalAddr() net.Addr { return c.local }

// RemoteAddr returns a *net.UDPAddr, also after Close.
func (c *udpConn) RemoteAddr() net.Addr { return net.UDPAddrFromAddrPort(c.remote) }

// SetDeadline sets the read and write deadlines. The zero time means none.
func (c *udpConn) SetDeadline(t time.Time) error { return c.setDeadline(t, &c.rd, &c.wr) }

// SetReadDeadline sets the time at which reads fail with os.ErrDeadlineExceeded.
func (c *udpConn) SetReadDeadline(t time.Time) error { return c.setDeadline(t, &c.rd) }

// SetWriteDeadline sets the time at which writes fail with os.ErrDeadlineExceeded.
func (c *udpConn) SetWriteDeadline(t time.Time) error { return c.setDeadline(t, &c.wr) }

func (c *udpConn) setDeadline(t time.Time, sides ...*side) error {
	if c.closed.Load() {
		return c.opError("set", net.ErrClosed)
	}
	for _, s := range sides {
		s.setDeadline(t)
	}
	return nil
}

func (c *udpConn) opError(op string, err error) error {
	e := &net.OpError{Op: op, Net: "udp", Source: c.local, Err: err}
	if c.remote.IsValid() {
		e.Addr = net.UDPAddrFromAddrPort(c.remote)
	}
	return e
}

// PacketConn is a UDP socket that is not connected.
type PacketConn struct{ c *udpConn }

var _ net.PacketConn = (*PacketConn)(nil)

// ReadFrom reads one datagram; the address is a *net.UDPAddr.
func (p *PacketConn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := p.c.readFrom(b)
	if err != nil {
		return 0, nil, err
	}
	return n, net.UDPAddrFromAddrPort(from), nil
}

// ReadFromUDPAddrPort is ReadFrom without allocating the address.
func (p *PacketConn) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	return p.c.readFrom(b)
}

// WaitReadable blocks until ReadFrom would not block. A caller that waits here needs
// no buffer meanwhile.
func (p *PacketConn) WaitReadable() error { return p.c.WaitReadable() }

// WriteTo sends one datagram to a *net.UDPAddr.
func (p *PacketConn) WriteTo(b []byte, addr net.Addr) (int, error) {
	u, ok := addr.(*net.UDPAddr)
	if !ok {
		return 0, p.c.opError("write", net.InvalidAddrError("not a UDP address"))
	}
	return p.WriteToUDPAddrPort(b, u.AddrPort())
}

// WriteToUDPAddrPort is WriteTo for a netip address.
func (p *PacketConn) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	a := to.Addr().Unmap()
	if !a.IsValid() || a.IsUnspecified() || a.Is4() != (p.c.local.IP.To4() != nil) {
		return 0, p.c.opError("write", net.InvalidAddrError("not an address of the socket's family"))
	}
	full := gvisor.FullAddress(netip.AddrPortFrom(a, to.Port()))
	return p.c.writeTo(b, &full)
}

// LocalAddr returns the socket's *net.UDPAddr.
func (p *PacketConn) LocalAddr() net.Addr { return p.c.local }

// Close ends blocked calls and frees the port.
func (p *PacketConn) Close() error { return p.c.Close() }

// SetDeadline sets the read and write deadlines. The zero time means none.
func (p *PacketConn) SetDeadline(t time.Time) error { return p.c.SetDeadline(t) }

// SetReadDeadline sets the time at which reads fail with os.ErrDeadlineExceeded.
func (p *PacketConn) SetReadDeadline(t time.Time) error { return p.c.SetReadDeadline(t) }

// SetWriteDeadline sets the time at which writes fail with os.ErrDeadlineExceeded.
func (p *PacketConn) SetWriteDeadline(t time.Time) error { return p.c.SetWriteDeadline(t) }
