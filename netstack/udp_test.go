package netstack_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"nexd/netstack"
	"nexd/netstack/icmp"
)

func TestUDPEcho(t *testing.T) {
	for _, addr := range []netip.Addr{addrB4, addrB6, netip.IPv4Unspecified()} {
		p := newPair(t, netstack.Config{})
		pc, err := p.b.ListenUDP(netip.AddrPortFrom(addr, 0))
		if err != nil {
			t.Fatal(err)
		}
		dst := pc.LocalAddr().(*net.UDPAddr).AddrPort()
		if addr.IsUnspecified() {
			dst = netip.AddrPortFrom(addrB4, dst.Port())
		}
		go func() {
			buf := make([]byte, 1<<16)
			for {
				n, from, err := pc.ReadFrom(buf)
				if err != nil {
					return
				}
				pc.WriteTo(buf[:n], from)
			}
		}()
		c, err := p.a.DialUDP(within(t, 5*time.Second), dst)
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(5 * time.Second))
		for _, size := range []int{0, 1, 1200, 3000, 65507} { // the last two come in fragments
			want := bytes.Repeat([]byte{byte(size)}, size)
			if _, err := c.Write(want); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, 1<<16)
			n, err := c.Read(got)
			if err != nil || !bytes.Equal(got[:n], want) {
				t.Fatalf("%v: echo of %d bytes is %d bytes, %v", dst, size, n, err)
			}
		}
		c.Close()
		pc.Close()
		if _, err := c.Read(nil); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Read after Close: %v", err)
		}
		if _, _, err := pc.ReadFrom(nil); !errors.Is(err, net.ErrClosed) {
			t.Errorf("ReadFrom after Close: %v", err)
		}
	}
}

func TestListenErrors(t *testing.T) {
	p := newPair(t, netstack.Config{})
	_, at := mustListen(t, p.b, addrB4)
	if _, err := p.b.ListenTCP(at); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("second listener: %v, want EADDRINUSE", err)
	}
	pc, err := p.b.ListenUDP(at) // another protocol
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	if _, err := p.b.ListenUDP(at); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("second UDP socket: %v, want EADDRINUSE", err)
	}
	for _, a := range []netip.Addr{addrA4, container4, {}} {
		if _, err := p.b.ListenTCP(netip.AddrPortFrom(a, 80)); !errors.Is(err, syscall.EADDRNOTAVAIL) {
			t.Errorf("listen on %v, which is not ours: %v", a, err)
		}
	}
	all, err := p.b.ListenTCP(netip.AddrPortFrom(netip.IPv6Unspecified(), 81))
	if err != nil {
		t.Fatal(err)
	}
	defer all.Close()
	if _, err := p.a.DialTCP(within(t, 5*time.Second), netip.AddrPortFrom(addrB4, 81)); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a listener on [::] also listens on IPv4: %v", err)
	}
	if c, err := p.a.DialTCP(within(t, 5*time.Second), netip.AddrPortFrom(addrB6, 81)); err != nil {
		t.Errorf("dial to [::]:81: %v", err)
	} else {
		c.Close()
	}
}

// TestPacketConnWaitsWithoutABuffer: the wait ends when something is there, takes
// nothing away, and ends with Close.
func TestPacketConnWaitsWithoutABuffer(t *testing.T) {
	p := newPair(t, netstack.Config{})
	pc, err := p.b.ListenUDP(netip.AddrPortFrom(addrB4, 0))
	if err != nil {
		t.Fatal(err)
	}
	woke := make(chan error)
	go func() { woke <- pc.(*netstack.PacketConn).WaitReadable() }()
	select {
	case err := <-woke:
		t.Fatalf("woke with nothing there: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	c, err := p.a.DialUDP(within(t, 5*time.Second), pc.LocalAddr().(*net.UDPAddr).AddrPort())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if err := <-woke; err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 10)
	if n, _, err := pc.ReadFrom(buf); err != nil || string(buf[:n]) != "hello" {
		t.Errorf("%q, %v", buf[:n], err)
	}
	go func() { woke <- pc.(*netstack.PacketConn).WaitReadable() }()
	pc.Close()
	if err := <-woke; !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// TestTooBigBehindThePeer has ICMPv6 errors of a link behind a peer, about a datagram of a socket and
// about others.
func TestTooBigBehindThePeer(t *testing.T) {
	type heard struct {
		to  netip.Addr
		mtu int
	}
	got := make(chan heard, 10)
	p := newPairOf(t, netstack.Config{OnTooBig: func(to netip.Addr, mtu int) { got <- heard{to, mtu} }}, netstack.Config{})
	c, err := p.a.DialUDP(within(t, 5*time.Second), netip.AddrPortFrom(container6, 7))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	port := c.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	say := func(port uint16, mtu int) {
		quoted := make([]byte, 60)
		quoted[0], quoted[6] = 0x60, 17
		copy(quoted[8:], addrA6.AsSlice())
		copy(quoted[24:], container6.AsSlice())
		binary.BigEndian.PutUint16(quoted[40:], port)
		binary.BigEndian.PutUint16(quoted[42:], 7)
		message := append([]byte{2, 0, 0, 0, 0, 0, byte(mtu >> 8), byte(mtu)}, quoted...)
		b := append(make([]byte, headroom), icmp.Packet(addrB6, addrA6, message)...)
		if _, err := p.a.Device().Write([][]byte{b}, headroom); err != nil {
			t.Fatal(err)
		}
	}
	say(port+1, 1300) // nobody's
	say(port, 1200)   // below what IPv6 allows
	say(port, 1420)   // no news
	say(port, 1300)
	if h := <-got; h != (heard{container6, 1300}) || len(got) > 0 {
		t.Errorf("heard %v and %d more", h, len(got))
	}
}
