package node

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"nexd/internal/datagram"
	"nexd/mesh"
)

// dualPacketConn is one UDP socket over a socket of each address family.
type dualPacketConn struct {
	socketOf map[bool]datagram.Conn // by whether it is IPv4
	conns    []net.PacketConn
	arrived  chan arrival
	done     chan struct{}
	once     sync.Once
	loops    sync.WaitGroup
	buffers  datagram.Pool
	reading  deadline
}

var _ datagram.Conn = (*dualPacketConn)(nil)

// arrival is a datagram that a socket received; its buffer goes back to the pool, if it has one.
type arrival struct {
	buf  *datagram.Buffer
	n    int
	from netip.AddrPort
	err  error
}

// newDualPacketConn joins a socket of IPv4 and one of IPv6.
func newDualPacketConn(four, six net.PacketConn) *dualPacketConn {
	d := &dualPacketConn{
		socketOf: map[bool]datagram.Conn{true: datagram.Adapt(four), false: datagram.Adapt(six)}, conns: []net.PacketConn{four, six},
		arrived: make(chan arrival), done: make(chan struct{}), reading: deadline{expired: make(chan struct{})},
	}
	for _, c := range d.socketOf {
		d.loops.Go(func() { d.receive(c) })
	}
	return d
}

// receive hands over what one socket receives, or its error, until Close.
func (d *dualPacketConn) receive(c datagram.Conn) {
	wait := datagram.Waiter(c)
	for {
		var a arrival
		if a.err = wait(); a.err == nil {
			a.buf = d.buffers.Get()
			a.n, a.from, a.err = c.ReadFromUDPAddrPort(a.buf[:])
		}
		select {
		case d.arrived <- a:
		case <-d.done:
			return
		}
	}
}

// ReadFromUDPAddrPort implements datagram.Conn.
func (d *dualPacketConn) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	expired := d.reading.wait()
	select {
	case <-expired:
		return 0, netip.AddrPort{}, d.opError(os.ErrDeadlineExceeded)
	default:
	}
	select {
	case a := <-d.arrived:
		if a.buf == nil {
			return 0, a.from, a.err
		}
		n := copy(b, a.buf[:a.n])
		d.buffers.Put(a.buf)
		return n, a.from, a.err
	case <-expired:
		return 0, netip.AddrPort{}, d.opError(os.ErrDeadlineExceeded)
	case <-d.done:
		return 0, netip.AddrPort{}, d.opError(net.ErrClosed)
	}
}

// WriteToUDPAddrPort implements datagram.Conn.
func (d *dualPacketConn) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	return d.socketOf[to.Addr().Is4()].WriteToUDPAddrPort(b, to)
}

// ReadFrom implements net.PacketConn.
func (d *dualPacketConn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := d.ReadFromUDPAddrPort(b)
	if err != nil {
		return n, nil, err
	}
	return n, net.UDPAddrFromAddrPort(from), nil
}

// WriteTo implements net.PacketConn.
func (d *dualPacketConn) WriteTo(b []byte, to net.Addr) (int, error) {
	u, ok := to.(*net.UDPAddr)
	if !ok {
		return 0, mesh.Errorf(mesh.Invalid, "node: %v is no UDP address", to)
	}
	return d.WriteToUDPAddrPort(b, u.AddrPort())
}

// LocalAddr implements net.PacketConn. It is the address of IPv4; both have its port.
func (d *dualPacketConn) LocalAddr() net.Addr { return d.conns[0].LocalAddr() }

// Close implements net.PacketConn. It waits for the goroutines that receive.
func (d *dualPacketConn) Close() error {
	err := error(net.ErrClosed)
	d.once.Do(func() {
		close(d.done)
		err = errors.Join(d.conns[0].Close(), d.conns[1].Close())
		d.loops.Wait()
	})
	return err
}

// SetDeadline implements net.PacketConn.
func (d *dualPacketConn) SetDeadline(t time.Time) error {
	d.reading.set(t)
	return d.SetWriteDeadline(t)
}

// SetReadDeadline implements net.PacketConn.
func (d *dualPacketConn) SetReadDeadline(t time.Time) error {
	d.reading.set(t)
	return nil
}

// SetWriteDeadline implements net.PacketConn.
func (d *dualPacketConn) SetWriteDeadline(t time.Time) error {
	return errors.Join(d.conns[0].SetWriteDeadline(t), d.conns[1].SetWriteDeadline(t))
}

func (d *dualPacketConn) opError(err error) error {
	return &net.OpError{Op: "read", Net: "udp", Source: d.LocalAddr(), Err: err}
}

// deadline is a point in time that can be moved, and a channel that is closed from then on.
type deadline struct {
	mu      sync.Mutex
	timer   *time.Timer // nil: no deadline
	expired chan struct{}
}

// wait returns the channel that is closed when the deadline of now has passed.
func (d *deadline) wait() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.expired
}

// set moves the deadline; zero is none. A read that waits goes by the new one.
func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil && !d.timer.Stop() {
		<-d.expired // the timer's func has run or runs now
	}
	d.timer = nil
	passed := false
	select {
	case <-d.expired:
		passed = true
	default:
	}
	if passed && (t.IsZero() || time.Until(t) > 0) {
		d.expired = make(chan struct{})
		passed = false
	}
	switch left := time.Until(t); {
	case t.IsZero():
	case left > 0:
		expired := d.expired
		d.timer = time.AfterFunc(left, func() { close(expired) })
	case !passed:
		close(d.expired)
	}
}
