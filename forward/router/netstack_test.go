package router

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"nexd/internal/datagram"
	"nexd/internal/leak"
	"nexd/internal/splice"
	"nexd/netstack"
)

// Adapters from the flows of package netstack; node/datapath has the same.
type (
	meshTCP struct{ *netstack.TCPFlow }
	meshUDP struct {
		*netstack.UDPFlow
		tells *atomic.Bool // whether accepted conns can tell unreachables
	}
	meshEcho struct{ *netstack.EchoRequest }
)

func (f meshUDP) Accept() (net.Conn, error) {
	c, err := f.UDPFlow.Accept()
	if _, ok := c.(UnreachableTeller); ok {
		f.tells.Store(true)
	}
	return c, err
}

func (f meshTCP) Unreachable(r Reach)  { f.TCPFlow.Unreachable(reachOf(r)) }
func (f meshUDP) Unreachable(r Reach)  { f.UDPFlow.Unreachable(reachOf(r)) }
func (f meshEcho) Unreachable(r Reach) { f.EchoRequest.Unreachable(reachOf(r)) }
func (f meshEcho) Seq() uint16         { return f.EchoRequest.Seq }
func (f meshEcho) Payload() []byte     { return f.EchoRequest.Payload }

func reachOf(r Reach) netstack.Reach {
	return [...]netstack.Reach{netstack.HostUnreachable, netstack.NetUnreachable, netstack.AdminProhibited}[r]
}

// wire carries packets from one stack to the other, as a tunnel would.
func wire(from, to *netstack.Net) {
	const offset, room = 16, 2048
	bufs, sizes := make([][]byte, 128), make([]int, 128)
	for i := range bufs {
		bufs[i] = make([]byte, offset+room)
	}
	out := make([][]byte, 0, 128)
	for {
		n, err := from.Device().Read(bufs, sizes, offset)
		if err != nil {
			return
		}
		out = out[:0]
		for i := range n {
			out = append(out, bufs[i][:offset+sizes[i]])
		}
		if _, err := to.Device().Write(out, offset); err != nil {
			return
		}
	}
}

// behindARouter returns a client's stack whose flows to other addresses go to r.
func behindARouter(t *testing.T, r *Router, tells *atomic.Bool) (client *netstack.Net, stop func()) {
	t.Helper()
	stacks := make([]*netstack.Net, 2)
	for i, addrs := range [][]netip.Addr{
		{netip.MustParseAddr("100.64.0.2"), netip.MustParseAddr("fd00::2")},
		{netip.MustParseAddr("100.64.0.1"), netip.MustParseAddr("fd00::1")},
	} {
		n, err := netstack.New(netstack.Config{Addresses: addrs})
		if err != nil {
			t.Fatal(err)
		}
		stacks[i] = n
	}
	stacks[1].HandleInbound(netstack.Inbound{
		TCP:  func(f *netstack.TCPFlow) { r.TCP(meshTCP{f}) },
		UDP:  func(f *netstack.UDPFlow) { r.UDP(meshUDP{f, tells}) },
		Echo: func(e *netstack.EchoRequest) { r.Echo(meshEcho{e}) },
	})
	var wires sync.WaitGroup
	wires.Go(func() { wire(stacks[0], stacks[1]) })
	wires.Go(func() { wire(stacks[1], stacks[0]) })
	return stacks[0], func() {
		stacks[0].Close()
		stacks[1].Close()
		wires.Wait()
	}
}

// routed is a client's stack in front of a router with targets of all kinds.
type routed struct {
	client                 *netstack.Net
	port4, port6, cut, udp int
	tells                  atomic.Bool
}

// dial dials through the mesh; "udp " before the address asks for UDP.
func (x *routed) dial(address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	network := "tcp"
	if rest, ok := strings.CutPrefix(address, "udp "); ok {
		network, address = "udp", rest
	}
	return x.client.DialContext(ctx, network, address)
}

// fate is the outcome of a dial to an address of 10.98.0.0/24. ok is false for other addresses.
func fate(ctx context.Context, host string) (err error, ok bool) {
	switch host {
	case "10.98.0.1":
		return errno(syscall.EHOSTUNREACH), true
	case "10.98.0.2":
		return errno(syscall.ENETUNREACH), true
	case "10.98.0.3":
		<-ctx.Done()
		return ctx.Err(), true
	}
	return nil, false
}

func newRouted(t *testing.T) (x *routed, stop func()) {
	t.Helper()
	double := func(c net.Conn) {
		defer c.Close()
		b, _ := io.ReadAll(c)
		c.Write(b)
		c.Write(b)
	}
	x = &routed{port4: serveTCP(t, "127.0.0.1:0", double), port6: serveTCP(t, "[::1]:0", double)}
	x.cut = serveTCP(t, "127.0.0.1:0", func(c net.Conn) {
		io.ReadFull(c, make([]byte, 1))
		c.Write([]byte("half"))
		splice.Abort(c)
	})
	x.udp = udpEcho(t, "udp4", "127.0.0.1:0").Port
	hosts := hostDialer()
	r, stopRouter := running(t, Config{
		Advertisements: ads(t, "10.99.0.1/32=127.0.0.1/32", "fd99::1/128=::1/128", "10.98.0.0/24"),
		AllowLocal:     []Allow{{Prefix: netip.MustParsePrefix("127.0.0.1/32")}, {Prefix: netip.MustParsePrefix("::1/128")}},
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			host, _, _ := net.SplitHostPort(address)
			if err, ok := fate(ctx, host); ok {
				return nil, err
			}
			return hosts.DialContext(ctx, network, address)
		},
		Ping: func(ctx context.Context, to netip.Addr, _ uint16, _ []byte) error {
			err, _ := fate(ctx, to.String())
			return err
		},
	})
	client, stopStacks := behindARouter(t, r, &x.tells)
	x.client = client
	return x, func() { stopRouter(); stopStacks() }
}

func TestThroughNetstack(t *testing.T) {
	leak.Check(t)
	x, stop := newRouted(t)
	defer stop()
	t.Run("half-close", x.halfClose)
	t.Run("verdicts", x.verdicts)
	t.Run("a cut answer is a reset", x.cutAnswer)
	t.Run("udp", x.datagrams)
	t.Run("a closed udp port is refused", x.closedUDP)
	t.Run("ping", x.ping)
}

func (x *routed) halfClose(t *testing.T) {
	for _, at := range []string{fmt.Sprintf("10.99.0.1:%d", x.port4), fmt.Sprintf("[fd99::1]:%d", x.port6)} {
		c, err := x.dial(at)
		if err != nil {
			t.Fatal(err)
		}
		want := bytes.Repeat([]byte("netstack"), 1<<17)
		go func() { c.Write(want); c.(interface{ CloseWrite() error }).CloseWrite() }()
		if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, slices.Concat(want, want)) {
			t.Errorf("%s: %d bytes back, %v", at, len(got), err)
		}
		c.Close()
	}
}

func (x *routed) verdicts(t *testing.T) {
	for address, want := range map[string]error{
		"10.99.0.1:1": syscall.ECONNREFUSED, "[fd99::1]:1": syscall.ECONNREFUSED,
		"10.98.0.1:80": syscall.EHOSTUNREACH, "10.98.0.2:80": syscall.ENETUNREACH,
		"10.98.0.3:80": context.DeadlineExceeded, // times out
		"10.97.0.1:80": syscall.EHOSTUNREACH,     // prohibited
	} {
		began := time.Now()
		c, err := x.dial(address)
		if err == nil {
			c.Close()
		}
		silence, quick := want == context.DeadlineExceeded, time.Since(began) < time.Second
		if quick == silence || !silence && !errors.Is(err, want) {
			t.Errorf("%s: %v after %v, want %v", address, err, time.Since(began), want)
		}
	}
}

func (x *routed) cutAnswer(t *testing.T) {
	c, err := x.dial(fmt.Sprintf("10.99.0.1:%d", x.cut))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, ok := c.(interface{ SetLinger(int) error }); !ok {
		t.Fatal("netstack's connections cannot reset")
	}
	c.Write([]byte("x"))
	if b, err := io.ReadAll(c); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%q, %v; want a reset", b, err)
	}
}

func (x *routed) datagrams(t *testing.T) {
	c, err := x.dial(fmt.Sprintf("udp 10.99.0.1:%d", x.udp))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	buf := make([]byte, datagram.Size)
	for _, size := range []int{1, 1200, 9000, 65507} {
		c.SetDeadline(time.Now().Add(3 * time.Second))
		want := bytes.Repeat([]byte{byte(size)}, size)
		c.Write(want)
		if n, err := c.Read(buf); err != nil || !bytes.Equal(buf[:n], want) {
			t.Errorf("%d bytes came back as %d, %v", size, n, err)
		}
	}
}

func (x *routed) closedUDP(t *testing.T) {
	for _, address := range []string{"udp 10.99.0.1:1", "udp [fd99::1]:1"} {
		c, err := x.dial(address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if !x.tells.Load() { // the test before has accepted one
			t.Skip("no flow was accepted yet that could tell: run the whole test")
		}
		c.Write([]byte("anybody?"))
		c.SetDeadline(time.Now().Add(3 * time.Second))
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("%s: %v, want a refusal", address, err)
		}
	}
}

func (x *routed) ping(t *testing.T) {
	for to, want := range map[string]error{"10.99.0.1": nil, "fd99::1": nil, "10.98.0.1": syscall.EHOSTUNREACH, "10.98.0.3": context.DeadlineExceeded} {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		if _, err := x.client.Ping(ctx, netip.MustParseAddr(to), 56); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", to, err, want)
		}
		cancel()
	}
}

// serveTCP serves a loopback port and returns it.
func serveTCP(t *testing.T, address string, serve func(net.Conn)) int {
	t.Helper()
	ln, err := net.Listen("tcp", address)
	if err != nil {
		t.Skipf("no %s here: %v", address, err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go serve(c)
		}
	}()
	return ln.Addr().(*net.TCPAddr).Port
}
