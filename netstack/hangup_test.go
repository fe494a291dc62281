package netstack_test

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"nexd/netstack"
)

// lingerer is what a conn needs to pass a reset on.
type lingerer interface{ SetLinger(seconds int) error }

func TestCloseAfterLingerZeroIsAReset(t *testing.T) {
	for _, to := range []netip.Addr{addrB4, addrB6} {
		p := newPair(t, netstack.Config{})
		client, server := p.connect(t, to)
		if err := client.(lingerer).SetLinger(0); err != nil {
			t.Fatal(err)
		}
		client.Close()
		server.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, err := server.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%v: the peer reads %v, want a reset", to, err)
		}
		if err := client.(lingerer).SetLinger(0); !errors.Is(err, net.ErrClosed) {
			t.Errorf("SetLinger after Close = %v", err)
		}
	}
}

func TestCloseWithoutLingerDelivers(t *testing.T) {
	p := newPair(t, netstack.Config{})
	client, server := p.connect(t, addrB4)
	client.(lingerer).SetLinger(0)
	client.(lingerer).SetLinger(-1)
	if _, err := client.Write([]byte("last words")); err != nil {
		t.Fatal(err)
	}
	client.Close()
	server.SetReadDeadline(time.Now().Add(5 * time.Second))
	if b, err := io.ReadAll(server); err != nil || string(b) != "last words" {
		t.Errorf("read %q, %v", b, err)
	}
}

// TestUDPTargetThatTurnsOutToBeGone has the router's case: the flow was accepted,
// then the host socket says that nobody is there.
func TestUDPTargetThatTurnsOutToBeGone(t *testing.T) {
	for _, to := range []netip.Addr{container4, container6} {
		p := newPair(t, netstack.Config{})
		accepted := make(chan net.Conn, 1)
		p.b.HandleInbound(netstack.Inbound{UDP: func(f *netstack.UDPFlow) {
			c, err := f.Accept()
			if err != nil {
				t.Error(err)
			}
			accepted <- c
		}})
		client, err := p.a.DialUDP(within(t, 5*time.Second), netip.AddrPortFrom(to, 53))
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		client.Write([]byte("anybody?"))
		server := <-accepted
		if err := server.(interface{ WaitReadable() error }).WaitReadable(); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 100)
		if n, err := server.Read(b); err != nil || string(b[:n]) != "anybody?" {
			t.Fatalf("read %q, %v", b[:n], err)
		}
		gone := server.(interface {
			PortUnreachable()
			HostUnreachable()
		})
		gone.PortUnreachable()
		client.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, err := client.Read(b); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("%v: the peer reads %v, want refused", to, err)
		}
		gone.HostUnreachable() // a soft error to a UDP socket; it must only not break anything
		server.Close()
		gone.PortUnreachable()
	}
}

func TestWaitReadableEnds(t *testing.T) {
	p := newPair(t, netstack.Config{})
	c, err := p.a.DialUDP(within(t, 5*time.Second), netip.AddrPortFrom(addrB4, 9))
	if err != nil {
		t.Fatal(err)
	}
	wait := c.(interface{ WaitReadable() error }).WaitReadable
	c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	var timeout net.Error
	if err := wait(); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("past the deadline: %v", err)
	}
	c.SetReadDeadline(time.Time{})
	ended := make(chan error)
	go func() { ended <- wait() }()
	c.Close()
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}
