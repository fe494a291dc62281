package datagram_test

import (
	"errors"
	"net"
	"net/netip"
	"testing"

	"nexd/internal/datagram"
	"nexd/internal/leak"
)

// readable is a conn that reports once that it is readable.
type readable struct {
	net.Conn
	waits int
}

func (r *readable) WaitReadable() error {
	if r.waits++; r.waits > 1 {
		return errors.New("enough")
	}
	return nil
}

func (r *readable) Read(b []byte) (int, error) { return copy(b, "x"), nil }

func TestReceiverOfAConnThatCanWait(t *testing.T) {
	in := new(datagram.Pool).Receiver(&readable{}, nil)
	if buf, n, err := in.Next(); n != 1 || err != nil || buf[0] != 'x' {
		t.Errorf("Next = %d, %v", n, err)
	}
	if _, _, err := in.Next(); err == nil {
		t.Error("Next hides an error of WaitReadable")
	}
}

func TestReceiverOfHostSockets(t *testing.T) {
	leak.Check(t)
	far, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	near, err := net.DialUDP("udp4", nil, far.LocalAddr().(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	failed := 0
	in := new(datagram.Pool).Receiver(near, func(int) { failed++ })
	for _, size := range []int{1, 0, datagram.MaxPayload} {
		if _, err := far.WriteTo(make([]byte, size), near.LocalAddr()); err != nil {
			t.Fatal(err)
		}
		if _, n, err := in.Next(); n != size || err != nil {
			t.Errorf("%d bytes: Next = %d, %v", size, n, err)
		}
	}
	far.Close()
	near.Write([]byte("nobody listens"))
	if _, _, err := in.Next(); err == nil {
		t.Error("no error after the peer closed its port")
	}
	if failed > 1 { // Windows does not report it
		t.Errorf("onError was called %d times", failed)
	}
	near.Close()
	if _, _, err := in.Next(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Next of a closed socket = %v", err)
	}
}

// packetConn hides the AddrPort methods of a UDP socket.
type packetConn struct{ net.PacketConn }

// unixAddr is a socket whose peers have no UDP address.
type unixAddr struct{ net.PacketConn }

func (unixAddr) ReadFrom([]byte) (int, net.Addr, error) { return 1, &net.UnixAddr{Name: "/x"}, nil }

func TestAdapt(t *testing.T) {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := datagram.Adapt(c); got != datagram.Conn(c) {
		t.Errorf("a UDP socket is wrapped: %T", got)
	}
	wrapped := datagram.Adapt(packetConn{c})
	self := c.LocalAddr().(*net.UDPAddr).AddrPort()
	if _, err := wrapped.WriteToUDPAddrPort([]byte("x"), self); err != nil {
		t.Fatal(err)
	}
	if n, from, err := wrapped.ReadFromUDPAddrPort(make([]byte, 9)); n != 1 || from != self || err != nil {
		t.Errorf("read %d bytes from %v, %v", n, from, err)
	}
	if _, from, err := datagram.Adapt(unixAddr{}).ReadFromUDPAddrPort(make([]byte, 9)); err == nil || from != (netip.AddrPort{}) {
		t.Errorf("a sender without a UDP address: %v, %v", from, err)
	}
}
