package splice

import (
	"context"
	"io"
	"net"
	"path/filepath"
	"testing"
	"time"
)

// link is a connection between a peer and our side.
type link struct{ peer, ours net.Conn }

// wires are the kinds of connection the tests run over.
var wires = map[string]func(testing.TB) link{
	"tcp": tcpLink, "unix": unixLink, "mesh": meshLink, "plain": plainLink,
}

func tcpLink(t testing.TB) link { return hostLink(t, "tcp", "127.0.0.1:0") }

func unixLink(t testing.TB) link {
	return hostLink(t, "unix", filepath.Join(t.TempDir(), "s"))
}

func hostLink(t testing.TB, network, addr string) link {
	t.Helper()
	ln, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	peer, err := net.Dial(network, ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	ours, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []net.Conn{peer, ours} {
		c.SetDeadline(time.Now().Add(30 * time.Second)) // no test hangs
	}
	t.Cleanup(func() { peer.Close(); ours.Close() })
	return link{peer, ours}
}

// plainConn hides everything of a TCP connection but what any connection has.
type plainConn struct{ net.Conn }

func (c plainConn) CloseWrite() error       { return c.Conn.(*net.TCPConn).CloseWrite() }
func (c plainConn) SetLinger(sec int) error { return c.Conn.(*net.TCPConn).SetLinger(sec) }

func plainLink(t testing.TB) link {
	l := tcpLink(t)
	return link{l.peer, plainConn{l.ours}}
}

// meshConn moves its own data, as the connections of netstack do.
type meshConn struct{ plainConn }

func (c meshConn) WriteTo(w io.Writer) (int64, error) {
	return io.CopyBuffer(w, struct{ io.Reader }{c.Conn}, make([]byte, 64<<10))
}

func (c meshConn) ReadFrom(r io.Reader) (int64, error) {
	buf := large.get()
	defer buf.free()
	return io.CopyBuffer(struct{ io.Writer }{c.Conn}, r, buf.b)
}

func meshLink(t testing.TB) link {
	l := tcpLink(t)
	return link{l.peer, meshConn{plainConn{l.ours}}}
}

// result is what Pipe returned.
type result struct {
	ab, ba int64
	err    error
}

// start runs a splice between our ends of two links and returns where its
// result arrives.
func start(ctx context.Context, o Options, a, b link) <-chan result {
	done := make(chan result, 1)
	go func() {
		var r result
		r.ab, r.ba, r.err = o.Pipe(ctx, a.ours, b.ours)
		done <- r
	}()
	return done
}

func await(t testing.TB, done <-chan result) result {
	t.Helper()
	select {
	case r := <-done:
		return r
	case <-time.After(10 * time.Second):
		t.Fatal("Pipe did not return")
		return result{}
	}
}

// eachPair runs a test over all pairs of wires.
func eachPair(t *testing.T, test func(t *testing.T, a, b link)) {
	for an, a := range wires {
		for bn, b := range wires {
			t.Run(an+"-"+bn, func(t *testing.T) { test(t, a(t), b(t)) })
		}
	}
}

func send1(t testing.TB, c net.Conn, s string) {
	t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		t.Fatalf("write %q: %v", s, err)
	}
}

func expect(t testing.TB, c net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Fatalf("read %q, %v; want %q", got[:n], err, want)
	}
}

func expectEOF(t testing.TB, c net.Conn) {
	t.Helper()
	if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Fatalf("read %d bytes, %v; want EOF", n, err)
	}
}

func shut(t testing.TB, c net.Conn) {
	t.Helper()
	if err := c.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
}

// stuff writes zeros until every buffer on the way is full, as far as that can be
// told in a short time.
func stuff(t testing.TB, c net.Conn) {
	t.Helper()
	send1(t, c, "\x00\x00") // at least so much, however slow the machine
	c.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
	for {
		if _, err := c.Write(make([]byte, 1<<20)); err != nil {
			return
		}
	}
}
