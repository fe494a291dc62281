package netstack_test

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/tun"

	"nexd/internal/eventually"
	"nexd/internal/leak"
	"nexd/mesh"
	"nexd/netstack"
)

// A node reaches its own addresses, and no packet leaves it.
func TestOwnAddress(t *testing.T) {
	p := newPair(t, netstack.Config{})
	for _, own := range []netip.Addr{addrB4, addrB6} {
		ln, at := mustListen(t, p.b, own)
		go func() {
			c, err := ln.Accept()
			if err == nil {
				io.Copy(c, c)
				c.Close()
			}
		}()
		c, err := p.b.DialTCP(within(t, 5*time.Second), at)
		if err != nil {
			t.Fatalf("dial the own address %v: %v", at, err)
		}
		exchangeEcho(t, c, 5<<20)
		c.Close()
		if _, err := p.b.DialTCP(within(t, 5*time.Second), netip.AddrPortFrom(own, 9)); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("closed port of the own address: %v", err)
		}
		if err := askUDP(t, p.b, netip.AddrPortFrom(own, 9)); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("closed UDP port of the own address: %v", err)
		}
		if _, err := p.b.Ping(within(t, 5*time.Second), own, 1000); err != nil {
			t.Errorf("ping the own address: %v", err)
		}
	}
	if n := p.wire.packets.Load(); n != 0 {
		t.Errorf("%d packets left the node", n)
	}
}

func TestSetAddresses(t *testing.T) {
	p := newPair(t, netstack.Config{})
	client, server := p.connect(t, addrB4)
	other := netip.MustParseAddr("100.64.0.99")
	if err := p.b.SetAddresses([]netip.Addr{addrB4, other}); err != nil {
		t.Fatal(err)
	}
	exchange(t, client, server, 1<<20) // of a kept address
	if got := p.b.Addresses(); len(got) != 2 || got[1] != other {
		t.Errorf("Addresses = %v", got)
	}
	if _, err := p.a.Ping(within(t, 5*time.Second), other, 8); err != nil {
		t.Errorf("ping the new address: %v", err)
	}
	if _, err := p.a.Ping(within(t, 50*time.Millisecond), addrB6, 8); !errors.Is(err, syscall.ETIMEDOUT) {
		t.Errorf("ping the removed address: %v", err)
	}
	if _, err := p.b.DialTCP(within(t, time.Second), netip.AddrPortFrom(addrA6, 80)); !errors.Is(err, syscall.ENETUNREACH) {
		t.Errorf("dial IPv6 without an IPv6 address: %v", err)
	}
	for _, bad := range []netip.Addr{{}, netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("ff02::1"), netip.IPv4Unspecified()} {
		if err := p.b.SetAddresses([]netip.Addr{bad}); mesh.KindOf(err) != mesh.Invalid {
			t.Errorf("SetAddresses(%v) = %v, want Invalid", bad, err)
		}
	}
}

// A node dials from its own address, also while it answers for an address that is
// closer to the destination.
func TestSourceIsTheOwnAddress(t *testing.T) {
	p := newPair(t, netstack.Config{})
	for _, tt := range []struct{ here, there netip.Addr }{
		{container4, netip.MustParseAddr("172.24.0.11")}, {container6, netip.MustParseAddr("fd77::11")},
	} {
		accepted := make(chan net.Conn, 1)
		accept := netstack.Inbound{TCP: func(f *netstack.TCPFlow) {
			c, err := f.Accept(within(t, 5*time.Second))
			if err != nil {
				t.Error(err)
				return
			}
			accepted <- c
		}}
		p.a.HandleInbound(accept)
		p.b.HandleInbound(accept)
		in, err := p.a.DialTCP(within(t, 5*time.Second), netip.AddrPortFrom(tt.here, 80))
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		defer (<-accepted).Close()
		out, err := p.b.DialTCP(within(t, 5*time.Second), netip.AddrPortFrom(tt.there, 80))
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		c := <-accepted
		defer c.Close()
		if src := c.RemoteAddr().(*net.TCPAddr).AddrPort().Addr(); src != addrB4 && src != addrB6 {
			t.Errorf("dialed %v from %v", tt.there, src)
		}
	}
}

// Close ends every call that can block.
func TestCloseEndsEverything(t *testing.T) {
	p := newPair(t, netstack.Config{})
	p.b.HandleInbound(netstack.Inbound{
		TCP: func(f *netstack.TCPFlow) { <-f.Done() },
		UDP: func(*netstack.UDPFlow) {}, // never decided
	})
	client, _ := p.connect(t, addrB4)
	full, _ := p.connect(t, addrB4)
	ln, _ := mustListen(t, p.a, addrA4)
	pc, err := p.a.ListenUDP(netip.AddrPortFrom(addrA6, 0))
	if err != nil {
		t.Fatal(err)
	}
	askUDP(t, p.a, netip.AddrPortFrom(container4, 53))
	p.wire.down.Store(true)
	dialed := p.a.Stats().TCPDialed

	var wg sync.WaitGroup
	for name, call := range map[string]func() error{
		"Read":   func() error { _, err := client.Read(make([]byte, 1)); return err },
		"Write":  func() error { _, err := full.Write(make([]byte, 64<<20)); return err },
		"Accept": func() error { _, err := ln.Accept(); return err },
		"ReadFrom": func() error {
			_, _, err := pc.ReadFrom(make([]byte, 1))
			return err
		},
		"DialTCP": func() error {
			_, err := p.a.DialTCP(within(t, time.Minute), netip.AddrPortFrom(container4, 80))
			return err
		},
		"Ping": func() error { _, err := p.a.Ping(within(t, time.Minute), addrB4, 8); return err },
	} {
		wg.Go(func() {
			if err := call(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("%s ends with %v, want net.ErrClosed", name, err)
			}
		})
	}
	eventually.True(t, "all calls are blocked", func() bool {
		return netstack.Blocked(client) && netstack.Blocked(full) && netstack.Blocked(ln) && netstack.Blocked(pc) &&
			p.a.Stats().TCPDialed == dialed+1 && netstack.Pings(p.a) == 1
	})
	start := time.Now()
	p.a.Close()
	p.b.Close()
	wg.Wait()
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("Close took %v", took)
	}
	if _, err := p.a.DialTCP(within(t, time.Second), netip.AddrPortFrom(addrB4, 80)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("dial after Close: %v", err)
	}
	if _, err := p.a.ListenTCP(netip.AddrPortFrom(addrA4, 80)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("listen after Close: %v", err)
	}
	if err := p.a.SetAddresses(nil); mesh.KindOf(err) != mesh.Unavailable {
		t.Errorf("SetAddresses after Close: %v", err)
	}
	if err := p.a.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

func TestDevice(t *testing.T) {
	leak.Check(t)
	n, err := netstack.New(netstack.Config{MTU: 1300})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	d := n.Device()
	if mtu, err := d.MTU(); mtu != 1300 || err != nil {
		t.Errorf("MTU = %d, %v", mtu, err)
	}
	if name, err := d.Name(); name == "" || err != nil || d.File() != nil || d.BatchSize() != netstack.DefaultBatch {
		t.Errorf("device is %q, %v, %v, batch %d", name, err, d.File(), d.BatchSize())
	}
	if e := <-d.Events(); e != tun.EventUp {
		t.Errorf("first event is %v", e)
	}
	read := make(chan error)
	go func() {
		_, err := d.Read([][]byte{make([]byte, 2000)}, []int{0}, 0)
		read <- err
	}()
	for range 2 {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := <-read; !errors.Is(err, os.ErrClosed) {
		t.Errorf("Read of a closed device: %v", err)
	}
	if _, more := <-d.Events(); more {
		t.Error("another event after Close")
	}
	n.Close()
	if _, err := d.Write([][]byte{{0x45}}, 0); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Write to a closed device: %v", err)
	}
}

func TestConfigErrors(t *testing.T) {
	for _, cfg := range []netstack.Config{
		{MTU: 1000}, {MTU: 70000}, {BufferSize: 1}, {MaxReceive: 1 << 30},
		{Addresses: []netip.Addr{netip.IPv4Unspecified()}},
	} {
		leak.Check(t)
		if n, err := netstack.New(cfg); mesh.KindOf(err) != mesh.Invalid {
			t.Errorf("New(%+v) = %v, %v; want Invalid", cfg, n, err)
		}
	}
}

// Peers may send anything: nothing may panic.
func FuzzDeviceWrite(f *testing.F) {
	n, err := netstack.New(netstack.Config{Addresses: []netip.Addr{addrA4, addrA6}})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { n.Close() })
	n.HandleInbound(netstack.Inbound{
		TCP:  func(fl *netstack.TCPFlow) { fl.Unreachable(netstack.HostUnreachable) },
		UDP:  func(fl *netstack.UDPFlow) { fl.Refuse() },
		Echo: func(e *netstack.EchoRequest) { e.Reply() },
	})
	d := n.Device()
	go drain(d)
	f.Add([]byte{}, []byte{0x45})
	for _, b := range seeds() {
		f.Add(b, b)
		f.Add(b, append([]byte(nil), b[:len(b)-1]...))
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		bufs := [][]byte{pad(first), pad(second), pad(first), corrected(first), corrected(second), corrected(first)}
		if n, err := d.Write(bufs, headroom); n != len(bufs) || err != nil {
			t.Fatalf("Write = %d, %v", n, err)
		}
	})
}

func pad(b []byte) []byte { return append(make([]byte, headroom), b...) }

func drain(d tun.Device) {
	bufs, sizes := make([][]byte, d.BatchSize()), make([]int, d.BatchSize())
	for i := range bufs {
		bufs[i] = make([]byte, 65535)
	}
	for {
		if _, err := d.Read(bufs, sizes, 0); err != nil {
			return
		}
	}
}
