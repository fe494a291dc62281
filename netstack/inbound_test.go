package netstack_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"nexd/internal/eventually"
	"nexd/netstack"
)

func TestTCPVerdicts(t *testing.T) {
	for _, tt := range []struct {
		name    string
		verdict func(*netstack.TCPFlow)
		want    error
	}{
		{"refuse", (*netstack.TCPFlow).Refuse, syscall.ECONNREFUSED},
		{"no host", func(f *netstack.TCPFlow) { f.Unreachable(netstack.HostUnreachable) }, syscall.EHOSTUNREACH},
		{"no net", func(f *netstack.TCPFlow) { f.Unreachable(netstack.NetUnreachable) }, syscall.ENETUNREACH},
		{"prohibited", func(f *netstack.TCPFlow) { f.Unreachable(netstack.AdminProhibited) }, syscall.EHOSTUNREACH},
		{"drop", (*netstack.TCPFlow).Drop, syscall.ETIMEDOUT},
		{"none", func(*netstack.TCPFlow) {}, syscall.ETIMEDOUT},
		{"two", func(f *netstack.TCPFlow) { f.Refuse(); f.Unreachable(netstack.HostUnreachable); f.Drop() }, syscall.ECONNREFUSED},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPair(t, netstack.Config{})
			p.b.HandleInbound(netstack.Inbound{TCP: tt.verdict})
			for _, dst := range []netip.Addr{container4, container6} {
				limit := 20 * time.Second
				if tt.want == syscall.ETIMEDOUT {
					limit = 100 * time.Millisecond
				}
				start := time.Now()
				_, err := p.a.DialTCP(within(t, limit), netip.AddrPortFrom(dst, 80))
				if !errors.Is(err, tt.want) {
					t.Errorf("dial %v: %v, want %v", dst, err, tt.want)
				}
				if took := time.Since(start); tt.want != syscall.ETIMEDOUT && took > 5*time.Second {
					t.Errorf("dial %v: the answer took %v", dst, took)
				}
			}
		})
	}
}

func TestNoHandlerRefuses(t *testing.T) {
	p := newPair(t, netstack.Config{})
	_, err := p.a.DialTCP(within(t, 5*time.Second), netip.AddrPortFrom(container4, 80))
	if !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dial without a handler: %v, want ECONNREFUSED", err)
	}
}

// Nothing is made for a flow while the handler is full.
func TestAFullHandlerRefusesWithoutAFlow(t *testing.T) {
	p := newPair(t, netstack.Config{})
	p.b.HandleInbound(netstack.Inbound{
		TCP:  func(f *netstack.TCPFlow) { t.Error("a TCP flow was made"); f.Refuse() },
		UDP:  func(f *netstack.UDPFlow) { t.Error("a UDP flow was made"); f.Refuse() },
		Full: func() bool { return true },
	})
	if _, err := p.a.DialTCP(within(t, 5*time.Second), netip.AddrPortFrom(container4, 80)); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dial: %v, want ECONNREFUSED", err)
	}
	if err := askUDP(t, p.a, netip.AddrPortFrom(container4, 53)); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("datagram: %v, want ECONNREFUSED", err)
	}
}

func TestTCPAccept(t *testing.T) {
	for _, dst := range []netip.Addr{container4, container6} {
		p := newPair(t, netstack.Config{})
		at := netip.AddrPortFrom(dst, 8080)
		p.b.HandleInbound(netstack.Inbound{TCP: func(f *netstack.TCPFlow) {
			if f.Destination() != at || f.Source().Addr().Is4() != dst.Is4() {
				t.Errorf("flow is %v to %v, want to %v", f.Source(), f.Destination(), at)
			}
			c, err := f.Accept(within(t, 5*time.Second))
			if err != nil {
				t.Error(err)
				return
			}
			if c.LocalAddr().String() != at.String() || c.RemoteAddr().String() != f.Source().String() {
				t.Errorf("accepted connection is %v to %v", c.LocalAddr(), c.RemoteAddr())
			}
			io.Copy(c, c)
			c.Close()
		}})
		c, err := p.a.DialTCP(within(t, 5*time.Second), at)
		if err != nil {
			t.Fatal(err)
		}
		exchangeEcho(t, c, 5<<20)
		c.Close()
	}
}

// exchangeEcho sends to an echo server and compares what comes back.
func exchangeEcho(t *testing.T, c net.Conn, size int) {
	t.Helper()
	sent := make(chan [32]byte, 1)
	go func() { sent <- send(t, c, size, 3) }()
	n, got := receive(t, c)
	if want := <-sent; n != int64(size) || got != want {
		t.Errorf("echo of %d bytes is %d bytes, equal: %v", size, n, got == want)
	}
}

// A SYN is retransmitted after one second: one flow for both, and a new flow
// once the first was dropped.
func TestRetransmittedSYN(t *testing.T) {
	p := newPair(t, netstack.Config{})
	var flows atomic.Int32
	release := make(chan struct{})
	p.b.HandleInbound(netstack.Inbound{TCP: func(f *netstack.TCPFlow) {
		switch flows.Add(1) {
		case 1:
			<-release
			f.Drop()
		default:
			f.Refuse()
		}
	}})
	time.AfterFunc(1500*time.Millisecond, func() {
		if n := flows.Load(); n != 1 {
			t.Errorf("%d flows while the first is undecided", n)
		}
		close(release)
	})
	_, err := p.a.DialTCP(within(t, 10*time.Second), netip.AddrPortFrom(container4, 80))
	if !errors.Is(err, syscall.ECONNREFUSED) || flows.Load() != 2 {
		t.Errorf("dial: %v after %d flows, want a refusal by the second", err, flows.Load())
	}
}

func TestAcceptEndsWithItsContext(t *testing.T) {
	p := newPair(t, netstack.Config{})
	got := make(chan error, 1)
	p.b.HandleInbound(netstack.Inbound{TCP: func(f *netstack.TCPFlow) {
		p.wire.down.Store(true) // the SYN-ACK vanishes
		_, err := f.Accept(within(t, 50*time.Millisecond))
		got <- err
	}})
	p.a.DialTCP(within(t, 200*time.Millisecond), netip.AddrPortFrom(container4, 80))
	if err := <-got; !errors.Is(err, syscall.ETIMEDOUT) {
		t.Errorf("Accept: %v, want ETIMEDOUT", err)
	}
}

func TestDoneWhenClosed(t *testing.T) {
	p := newPair(t, netstack.Config{})
	in, done := make(chan bool), make(chan bool)
	p.b.HandleInbound(netstack.Inbound{TCP: func(f *netstack.TCPFlow) {
		close(in)
		<-f.Done()
		_, err := f.Accept(context.Background())
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept after Close: %v", err)
		}
		close(done)
	}})
	go p.a.DialTCP(within(t, 5*time.Second), netip.AddrPortFrom(container4, 80))
	<-in
	p.b.Close()
	<-done
}

func TestOwnAddressesNeverReachInbound(t *testing.T) {
	p := newPair(t, netstack.Config{})
	p.b.HandleInbound(netstack.Inbound{
		TCP:  func(f *netstack.TCPFlow) { t.Errorf("TCP flow to %v", f.Destination()) },
		UDP:  func(f *netstack.UDPFlow) { t.Errorf("UDP flow to %v", f.Destination()) },
		Echo: func(e *netstack.EchoRequest) { t.Errorf("echo to %v", e.Destination()) },
	})
	for _, own := range []netip.Addr{addrB4, addrB6} {
		if _, err := p.a.DialTCP(within(t, 5*time.Second), netip.AddrPortFrom(own, 80)); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("closed TCP port of %v: %v", own, err)
		}
		if err := askUDP(t, p.a, netip.AddrPortFrom(own, 80)); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("closed UDP port of %v: %v", own, err)
		}
		if _, err := p.a.Ping(within(t, 5*time.Second), own, 56); err != nil {
			t.Errorf("ping %v: %v", own, err)
		}
	}
}

// askUDP sends a datagram and returns what reading the answer says.
func askUDP(t *testing.T, n *netstack.Net, dst netip.AddrPort) error {
	t.Helper()
	c, err := n.DialUDP(within(t, 5*time.Second), dst)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("anybody there?")); err != nil {
		return err
	}
	c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	_, err = c.Read(make([]byte, 100))
	return err
}

func TestUDPVerdicts(t *testing.T) {
	for _, tt := range []struct {
		name    string
		verdict func(*netstack.UDPFlow)
		refused bool
	}{
		{"refuse", (*netstack.UDPFlow).Refuse, true},
		{"drop", (*netstack.UDPFlow).Drop, false},
		{"unreachable", func(f *netstack.UDPFlow) { f.Unreachable(netstack.HostUnreachable) }, false}, // a soft error, as with a kernel's UDP
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPair(t, netstack.Config{})
			var flows atomic.Int32
			p.b.HandleInbound(netstack.Inbound{UDP: func(f *netstack.UDPFlow) { flows.Add(1); tt.verdict(f) }})
			for _, dst := range []netip.Addr{container4, container6} {
				if err := askUDP(t, p.a, netip.AddrPortFrom(dst, 53)); errors.Is(err, syscall.ECONNREFUSED) != tt.refused {
					t.Errorf("%v: %v, want a refusal: %v", dst, err, tt.refused)
				}
			}
			// A busy machine takes longer than askUDP waits for the answer.
			eventually.True(t, "a flow to each address", func() bool { return flows.Load() >= 2 })
			if flows.Load() != 2 {
				t.Errorf("%d flows", flows.Load())
			}
		})
	}
}

// Datagrams that come while the verdict is pending are not lost and make no
// second flow.
func TestUDPAccept(t *testing.T) {
	for _, dst := range []netip.Addr{container4, container6} {
		p := newPair(t, netstack.Config{})
		at := netip.AddrPortFrom(dst, 53)
		pending := make(chan *netstack.UDPFlow, 10)
		p.b.HandleInbound(netstack.Inbound{UDP: func(f *netstack.UDPFlow) { pending <- f }})
		c, err := p.a.DialUDP(within(t, 5*time.Second), at)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for _, s := range []string{"one", "two", "three"} {
			if _, err := c.Write([]byte(s)); err != nil {
				t.Fatal(err)
			}
		}
		f := <-pending
		eventually.True(t, "three datagrams arrive", func() bool { return p.b.Stats().RxPackets >= 3 })
		s, err := f.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if s.LocalAddr().String() != at.String() || s.RemoteAddr().String() != c.LocalAddr().String() {
			t.Errorf("socket is %v to %v", s.LocalAddr(), s.RemoteAddr())
		}
		buf := make([]byte, 100)
		s.SetDeadline(time.Now().Add(5 * time.Second))
		for _, want := range []string{"one", "two", "three"} {
			if n, err := s.Read(buf); err != nil || string(buf[:n]) != want {
				t.Fatalf("read %q, %v; want %q", buf[:n], err, want)
			}
		}
		if _, err := s.Write([]byte("answer")); err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(5 * time.Second))
		if n, err := c.Read(buf); err != nil || string(buf[:n]) != "answer" {
			t.Errorf("read %q, %v", buf[:n], err)
		}
		if len(pending) != 0 {
			t.Error("a second flow was made")
		}
		if _, err := f.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("second verdict: %v", err)
		}
	}
}

func TestEchoVerdicts(t *testing.T) {
	for _, tt := range []struct {
		name    string
		verdict func(*netstack.EchoRequest)
		want    error
	}{
		{"reply", (*netstack.EchoRequest).Reply, nil},
		{"unreachable", func(e *netstack.EchoRequest) { e.Unreachable(netstack.HostUnreachable) }, syscall.EHOSTUNREACH},
		{"no net", func(e *netstack.EchoRequest) { e.Unreachable(netstack.NetUnreachable) }, syscall.ENETUNREACH},
		{"drop", (*netstack.EchoRequest).Drop, syscall.ETIMEDOUT},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPair(t, netstack.Config{})
			p.b.HandleInbound(netstack.Inbound{Echo: func(e *netstack.EchoRequest) {
				if len(e.Payload) != 1000 || e.Source() == e.Destination() {
					t.Errorf("echo of %d bytes from %v to %v", len(e.Payload), e.Source(), e.Destination())
				}
				tt.verdict(e)
			}})
			for _, dst := range []netip.Addr{container4, container6} {
				limit := 20 * time.Second
				if tt.want == syscall.ETIMEDOUT {
					limit = 50 * time.Millisecond
				}
				if _, err := p.a.Ping(within(t, limit), dst, 1000); !errors.Is(err, tt.want) {
					t.Errorf("ping %v: %v, want %v", dst, err, tt.want)
				}
			}
		})
	}
}

func TestPingNobody(t *testing.T) {
	p := newPair(t, netstack.Config{})
	if _, err := p.a.Ping(within(t, 50*time.Millisecond), container4, 8); !errors.Is(err, syscall.ETIMEDOUT) {
		t.Errorf("ping without a handler: %v", err)
	}
	if _, err := p.a.Ping(within(t, time.Second), addrB4, 5000); !errors.Is(err, syscall.EMSGSIZE) {
		t.Errorf("ping larger than the MTU: %v", err)
	}
}
