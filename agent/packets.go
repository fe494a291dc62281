package agent

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"nexd/internal/datagram"
	"nexd/netmap"
)

// packets is one UDP socket that reaches everything that a client of the proxy may reach. It
// consists of up to four sockets and opens each when it is first needed. The two sockets in the mesh
// have the same port if that is free.
//
//	                 ┌── mesh, IPv4    (nodes and prefixes)
//	client's one ────┼── mesh, IPv6
//	socket           └── host, 4 and 6 (containers behind this node; all else with direct)
type packets struct {
	d          *proxyDialer
	listenHost func(network string) (net.PacketConn, error)
	arrived    chan arrival
	pending    *arrival // that WaitReadable took out of arrived; of the one reader
	done       chan struct{}
	readers    sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	sockets map[socketKind]datagram.Conn
}

type socketKind struct{ mesh, six bool }

// arrival is a datagram that a socket received. Its buffer goes back to the pool.
type arrival struct {
	buf  *datagram.Buffer
	n    int
	from netip.AddrPort
}

var _ datagram.Conn = (*packets)(nil)

func newPackets(d *proxyDialer) *packets {
	return &packets{
		d:          d,
		listenHost: func(network string) (net.PacketConn, error) { return net.ListenPacket(network, ":0") },
		arrived:    make(chan arrival), done: make(chan struct{}), sockets: map[socketKind]datagram.Conn{},
	}
}

// WriteToUDPAddrPort sends a datagram through the socket that the network map asks for.
func (p *packets) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	kind, to, err := p.route(to)
	if err != nil {
		return 0, err
	}
	s, err := p.socket(kind)
	if err != nil {
		return 0, err
	}
	return s.WriteToUDPAddrPort(b, to)
}

// route returns the socket that reaches an address, and the address to use on it.
func (p *packets) route(to netip.AddrPort) (socketKind, netip.AddrPort, error) {
	a := to.Addr().Unmap()
	if p.d.leaves(a) {
		return socketKind{six: a.Is6()}, to, checkOutside(a)
	}
	owner, err := p.d.node.View().Route(a)
	switch {
	case err != nil:
		return socketKind{}, to, err
	case owner.Place == netmap.Local:
		return socketKind{six: owner.Local.Is6()}, netip.AddrPortFrom(owner.Local, to.Port()), nil
	}
	return socketKind{mesh: true, six: a.Is6()}, to, p.d.node.Unrouted(a)
}

// socket finds or opens one of the sockets behind.
func (p *packets) socket(k socketKind) (datagram.Conn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, net.ErrClosed
	}
	if s := p.sockets[k]; s != nil {
		return s, nil
	}
	pc, err := p.listen(k)
	if err != nil {
		return nil, err
	}
	s := datagram.Adapt(pc)
	p.sockets[k] = s
	p.readers.Go(func() { p.read(k, s) })
	return s, nil
}

// listen opens a socket; the caller holds mu.
func (p *packets) listen(k socketKind) (net.PacketConn, error) {
	network, host := "udp4", "0.0.0.0"
	if k.six {
		network, host = "udp6", "::"
	}
	if !k.mesh {
		return p.listenHost(network)
	}
	if other := p.sockets[socketKind{mesh: true, six: !k.six}]; other != nil {
		if a, ok := other.LocalAddr().(*net.UDPAddr); ok {
			if pc, err := p.d.node.ListenPacket(network, net.JoinHostPort(host, strconv.Itoa(a.Port))); err == nil {
				return pc, nil
			}
		}
	}
	return p.d.node.ListenPacket(network, net.JoinHostPort(host, "0"))
}

// read passes on what one socket receives until it is closed.
func (p *packets) read(k socketKind, s datagram.Conn) {
	wait := datagram.Waiter(s)
	for {
		if err := wait(); errors.Is(err, net.ErrClosed) {
			return
		}
		buf := p.d.buffers.Get()
		n, from, err := s.ReadFromUDPAddrPort(buf[:])
		if err != nil {
			p.d.buffers.Put(buf)
			if errors.Is(err, net.ErrClosed) || !p.breathe() {
				return
			}
			continue // it concerns one target only
		}
		from = netip.AddrPortFrom(from.Addr().Unmap().WithZone(""), from.Port())
		if !k.mesh {
			from = netip.AddrPortFrom(p.d.node.View().ToMesh(from.Addr()), from.Port())
		}
		select {
		case p.arrived <- arrival{buf, n, from}:
		case <-p.done:
			p.d.buffers.Put(buf)
			return
		}
	}
}

// breathe prevents a busy loop when an error persists. It returns false when the socket is closed.
func (p *packets) breathe() bool {
	t := time.NewTimer(5 * time.Millisecond)
	defer t.Stop()
	select {
	case <-p.done:
		return false
	case <-t.C:
		return true
	}
}

// WaitReadable blocks until a datagram can be read or the socket is closed. Only the goroutine that
// reads may call it.
func (p *packets) WaitReadable() error {
	if p.pending != nil {
		return nil
	}
	select {
	case a := <-p.arrived:
		p.pending = &a
		return nil
	case <-p.done:
		return net.ErrClosed
	}
}

// ReadFromUDPAddrPort returns the next datagram from any socket. One goroutine
// reads at a time.
func (p *packets) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	if err := p.WaitReadable(); err != nil {
		return 0, netip.AddrPort{}, err
	}
	a := *p.pending
	p.pending = nil
	n := copy(b, a.buf[:a.n])
	p.d.buffers.Put(a.buf)
	return n, a.from, nil
}

// Close implements datagram.Conn. It waits for the readers.
func (p *packets) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return net.ErrClosed
	}
	p.closed = true
	close(p.done)
	sockets := p.sockets
	p.mu.Unlock()
	for _, s := range sockets {
		s.Close()
	}
	p.readers.Wait()
	return nil
}

// LocalAddr implements datagram.Conn. There is no single one.
func (p *packets) LocalAddr() net.Addr { return &net.UDPAddr{} }

// listenPacket is proxy.Config.ListenPacket.
func (d *proxyDialer) listenPacket(context.Context) (datagram.Conn, error) { return newPackets(d), nil }
