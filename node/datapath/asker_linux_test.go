package datapath

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nexd/internal/eventually"
	"nexd/internal/leak"
)

// A connection is asked once it is silent for some seconds, the answer ends the silence, and the
// keepalive is as before.
func TestASilentConnectionOfTheKernelIsAsked(t *testing.T) {
	t.Parallel() // mostly it waits
	leak.Check(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c, err := (&net.Dialer{KeepAlive: keepAlive}).Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	peer, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	conn := c.(*net.TCPConn)
	if st := look(conn, false); st != (looked{moved: true}) {
		t.Errorf("a fresh connection: %+v", st)
	}
	eventually.Within(t, 10*time.Second, "it is asked", func() bool { return look(conn, false).asked })
	eventually.Within(t, 2*time.Second, "it is answered", func() bool { return !look(conn, true).asked })
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) {
		if idle, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_KEEPIDLE); err != nil || time.Duration(idle)*time.Second != keepAlive {
			t.Errorf("the keepalive is %d s, %v", idle, err)
		}
	})
	c.Close()
	if st := look(conn, false); !st.gone {
		t.Errorf("a closed connection: %+v", st)
	}
}

func TestTheAskerForgetsClosedConnections(t *testing.T) {
	t.Parallel() // mostly it waits
	leak.Check(t)
	var a asker
	defer a.close()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	a.watch(c)
	c.Close()
	eventually.Within(t, 10*time.Second, "nothing is watched", func() bool { a.mu.Lock(); defer a.mu.Unlock(); return a.conns == nil && a.timer == nil })
	a.close()
	a.watch(c)
	if a.conns != nil {
		t.Error("a closed asker watches")
	}
}
