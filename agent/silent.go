package agent

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// silent is a listener, or a UDP socket, where nobody ever calls: it stands for
// the IPv6 half of a rule on a host without IPv6.
type silent struct {
	addr net.Addr
	once sync.Once
	done chan struct{}
}

// Accept waits until Close.
func (n *silent) Accept() (net.Conn, error) {
	<-n.done
	return nil, net.ErrClosed
}

// ReadFrom waits until Close.
func (n *silent) ReadFrom([]byte) (int, net.Addr, error) {
	<-n.done
	return 0, nil, net.ErrClosed
}

// ReadFromUDPAddrPort waits until Close.
func (n *silent) ReadFromUDPAddrPort([]byte) (int, netip.AddrPort, error) {
	<-n.done
	return 0, netip.AddrPort{}, net.ErrClosed
}

// WriteTo sends to nobody.
func (n *silent) WriteTo(b []byte, _ net.Addr) (int, error) { return len(b), nil }

// WriteToUDPAddrPort sends to nobody.
func (n *silent) WriteToUDPAddrPort(b []byte, _ netip.AddrPort) (int, error) { return len(b), nil }

// Close ends the waiting.
func (n *silent) Close() error {
	n.once.Do(func() { close(n.done) })
	return nil
}

// Addr is what was asked for.
func (n *silent) Addr() net.Addr { return n.addr }

// LocalAddr is what was asked for.
func (n *silent) LocalAddr() net.Addr { return n.addr }

// SetDeadline does nothing: nothing is ever received.
func (n *silent) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing.
func (n *silent) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing.
func (n *silent) SetWriteDeadline(time.Time) error { return nil }
