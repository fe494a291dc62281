package datapath

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// nullSocket is a listener and a UDP socket to which nothing ever comes. It stands for a
// socket of IPv6 on a host without IPv6.
type nullSocket struct {
	addr net.Addr
	once sync.Once
	done chan struct{}
}

func newNullSocket(at net.Addr) *nullSocket { return &nullSocket{addr: at, done: make(chan struct{})} }

// Accept waits until Close.
func (n *nullSocket) Accept() (net.Conn, error) {
	<-n.done
	return nil, net.ErrClosed
}

// ReadFrom waits until Close.
func (n *nullSocket) ReadFrom([]byte) (int, net.Addr, error) {
	<-n.done
	return 0, nil, net.ErrClosed
}

// ReadFromUDPAddrPort waits until Close.
func (n *nullSocket) ReadFromUDPAddrPort([]byte) (int, netip.AddrPort, error) {
	<-n.done
	return 0, netip.AddrPort{}, net.ErrClosed
}

// WriteTo discards b.
func (n *nullSocket) WriteTo(b []byte, _ net.Addr) (int, error) { return len(b), nil }

// WriteToUDPAddrPort discards b.
func (n *nullSocket) WriteToUDPAddrPort(b []byte, _ netip.AddrPort) (int, error) { return len(b), nil }

// Close ends the waiting.
func (n *nullSocket) Close() error {
	n.once.Do(func() { close(n.done) })
	return nil
}

// Addr is what was asked for.
func (n *nullSocket) Addr() net.Addr { return n.addr }

// LocalAddr is what was asked for.
func (n *nullSocket) LocalAddr() net.Addr { return n.addr }

// SetDeadline does nothing: nothing is ever received.
func (n *nullSocket) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing.
func (n *nullSocket) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing.
func (n *nullSocket) SetWriteDeadline(time.Time) error { return nil }
