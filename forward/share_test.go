package forward

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
)

// peerConn is a connection from a peer's address.
type peerConn struct {
	net.Conn
	from netip.AddrPort
}

func (c peerConn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.from) }

// peers is a listener in the mesh.
type peers struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *peers) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *peers) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l *peers) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4zero, Port: 22} }

// A peer that takes as much of a rule as it can leaves a part to others, and can use again what it
// has given back.
func TestOnePeerDoesNotFillARule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := &peers{conns: make(chan net.Conn), closed: make(chan struct{})}
		cfg := newMesh().config()
		cfg.MaxConns = 9
		cfg.ListenMesh = func(_ context.Context, network, _ string) (net.Listener, error) {
			if network == "tcp4" {
				return ln, nil
			}
			return &peers{closed: make(chan struct{})}, nil
		}
		cfg.DialHost = func(context.Context, string, string) (net.Conn, error) { c, _ := net.Pipe(); return c, nil }
		f, _ := running(t, cfg, "-R 22:localhost:22")
		port := uint16(1000)
		connect := func(from string) net.Conn {
			here, there := net.Pipe()
			port++
			ln.conns <- peerConn{there, netip.AddrPortFrom(netip.MustParseAddr(from), port)}
			synctest.Wait()
			return here
		}
		want := func(active int, refused uint64) {
			t.Helper()
			if st := f.Status()[0]; st.Active != active || st.Refused != refused {
				t.Errorf("%d active, %d refused, want %d and %d: %s", st.Active, st.Refused, active, refused, st.LastError)
			}
		}
		greedy := connect("100.64.0.7")
		for range 5 {
			connect("100.64.0.7")
		}
		want(3, 3)
		if st := f.Status()[0]; !strings.Contains(st.LastError, "100.64.0.7 has 3 connections") {
			t.Error(st.LastError)
		}
		for range 4 {
			connect("fd00::7") // the same peer's other address
		}
		want(6, 4)
		for range 3 {
			connect("100.64.0.8")
		}
		want(9, 4)
		greedy.Close()
		synctest.Wait()
		want(8, 4)
		connect("100.64.0.7")
		want(9, 4)
	})
}

func TestSharesOfThisHost(t *testing.T) {
	var s shares
	for _, from := range []netip.Addr{{}, netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback()} {
		for range 9 {
			if !s.take(from, 3) {
				t.Errorf("%v has a share", from)
			}
			s.giveBack(from)
		}
	}
	if from := netip.MustParseAddr("192.0.2.1"); !s.take(from, 1) || s.take(from, 1) {
		t.Error("a share of one is not one")
	}
	if n := s.held.Holders(); n != 1 {
		t.Errorf("%d addresses have a share", n)
	}
}
