//go:build linux

package load

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"nexd/internal/eventually"
	"nexd/internal/leak"
)

// udpServer is the datagram half of a load server on loopback.
func udpServer(t *testing.T) (*loadServer, netip.AddrPort) {
	t.Helper()
	pc, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pc.Close() })
	s := new(loadServer)
	go s.serveDatagrams(pc)
	return s, pc.LocalAddr().(*net.UDPAddr).AddrPort()
}

func TestDatagramsAreAnsweredAndCounted(t *testing.T) {
	leak.Check(t)
	s, addr := udpServer(t)
	c := new(ClientCalls)
	flow := DatagramFlow{To: addr, Window: 50 * time.Millisecond}
	var r DatagramCount
	if err := c.Answered(flow, &r); err != nil || r.Sent < inFlight || r.Lost > r.Sent/10 || r.Elapsed < flow.Window {
		t.Errorf("answered: %+v, %v", r, err)
	}
	r = DatagramCount{}
	if err := c.Steady(flow, &r); err != nil || r.Sent < steadyRate/100 {
		t.Errorf("steady: %+v, %v", r, err)
	}
	have := func() string { return fmt.Sprintf("nine tenths of %d come; %d do", r.Sent, s.datagrams.Load()) }
	eventually.Shown(t, eventually.Patience, have, func() bool { return s.datagrams.Load() >= int64(r.Sent)*9/10 })
}

func TestSilenceIsLoss(t *testing.T) {
	leak.Check(t)
	pc, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	go func() { // the first is answered, nothing after it
		b := make([]byte, 2000)
		n, from, err := pc.ReadFromUDPAddrPort(b)
		if err == nil {
			pc.WriteToUDPAddrPort(b[:n], from)
		}
	}()
	c := new(ClientCalls)
	var r DatagramCount
	err = c.Answered(DatagramFlow{To: pc.LocalAddr().(*net.UDPAddr).AddrPort(), Window: 10 * time.Millisecond}, &r)
	if err != nil || r.Sent != inFlight || r.Lost != inFlight {
		t.Errorf("%+v, %v; want all of %d lost", r, err, inFlight)
	}
}

// TestDatagramsByAssociation sends through a relay that only knows how to take a
// header off and put it back.
func TestDatagramsByAssociation(t *testing.T) {
	leak.Check(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	relay, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer relay.Close()
	go func() {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		io.ReadFull(c, make([]byte, 3+10))
		c.Write(append([]byte{5, 0, 5, 0, 0}, socksAddress(relay.LocalAddr().(*net.UDPAddr).AddrPort())...))
		io.Copy(io.Discard, c)
	}()
	target := netip.MustParseAddrPort("172.24.0.10:7000")
	want := append([]byte{0, 0, 0}, socksAddress(target)...)
	go func() {
		b := make([]byte, 2000)
		for {
			n, from, err := relay.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			if string(b[:len(want)]) != string(want) || n != len(want)+datagramSize {
				t.Errorf("%d bytes with header % x", n, b[:len(want)])
			}
			relay.WriteToUDPAddrPort(b[:n], from)
		}
	}()
	c := &ClientCalls{dialer: dialer{target: target, proxy: ln.Addr().String()}}
	var r DatagramCount
	if err := c.Answered(DatagramFlow{Associate: true, Window: 20 * time.Millisecond}, &r); err != nil || r.Sent < inFlight || r.Lost > 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestHoldMany(t *testing.T) {
	leak.Check(t)
	c, _ := pair(t)
	var opened int
	if err := c.HoldMany(100, &opened); err != nil || opened != 100 || len(c.held) != 100 {
		t.Errorf("held %d, %v", opened, err)
	}
	c.Release(struct{}{}, nil)
	c.dialer.target = netip.MustParseAddrPort("127.0.0.1:1")
	if err := c.HoldMany(100, &opened); err == nil || opened != 0 {
		t.Errorf("held %d, %v with nobody there", opened, err)
	}
}
