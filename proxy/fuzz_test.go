package proxy

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// FuzzHandshake sends whole conversations to a proxy whose dials are all refused. Whatever a client
// sends, the proxy answers or hangs up in time, and dials only valid addresses.
func FuzzHandshake(f *testing.F) {
	for _, s := range []string{
		"", "\x05", hello, hello + connectTo("node1", 80), hello + "\x05\x03\x00\x01\x00\x00\x00\x00\x00\x00",
		hello + "\x05\x01\x00\x04" + strings.Repeat("\x00", 18), "\x05\xff" + strings.Repeat("\x02", 255),
		"\x04\x01\x00\x50\x00\x00\x00\x01user\x00node1\x00", "\x16\x03\x01",
		"CONNECT node1:443 HTTP/1.1\r\nHost: node1\r\n\r\nhello", "GET http://node1/ HTTP/1.0\r\n\r\n",
		"POST http://[fd00::1]:8080/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		"CONNECT  HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, said []byte) {
		p, err := New(Config{HandshakeTimeout: 50 * time.Millisecond, Dial: func(_ context.Context, _, address string) (net.Conn, error) {
			host, port, err := net.SplitHostPort(address)
			if err != nil || host == "" || port == "" || !plausible(host) {
				t.Errorf("Dial got %q", address)
			}
			return nil, errors.New("nobody there")
		}})
		if err != nil {
			t.Fatal(err)
		}
		ours, theirs := net.Pipe()
		ln := &oneListener{conn: make(chan net.Conn, 1), closed: make(chan struct{})}
		ln.conn <- theirs
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- p.Serve(ctx, ln) }()
		ours.SetDeadline(time.Now().Add(5 * time.Second))
		go func() {
			ours.Write(said)
			time.Sleep(time.Millisecond) // the proxy may answer first; there may be nothing to wait for
			ours.Close()
		}()
		io.Copy(io.Discard, ours)
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Serve = %v", err)
			}
		case <-time.After(5 * time.Second):
			t.Fatal("Serve did not return")
		}
	})
}

// oneListener accepts one connection.
type oneListener struct {
	conn   chan net.Conn
	closed chan struct{}
}

func (l *oneListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conn:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *oneListener) Close() error {
	select {
	case <-l.closed:
	default:
		close(l.closed)
	}
	return nil
}
func (l *oneListener) Addr() net.Addr { return fakeAddr("one") }

// FuzzNegotiate checks that the negotiation consumes nothing after the request, and that a parsed
// request has a valid address or none.
func FuzzNegotiate(f *testing.F) {
	f.Add([]byte(hello + connectTo("node1", 80) + "early data"))
	f.Add([]byte("\x05\x02\x00\x02\x05\x01\x00\x01\x01\x02\x03\x04\x00\x50"))
	f.Fuzz(func(t *testing.T, said []byte) {
		conn := &scripted{}
		in := bufio.NewReaderSize(bytes.NewReader(said), max(len(said), 16))
		request, err := negotiate(&client{Conn: conn, in: in}, nil)
		if err != nil {
			return
		}
		if address, err := destination(request.DestAddr); err == nil {
			if _, _, err := net.SplitHostPort(address); err != nil {
				t.Errorf("address %q", address)
			}
		}
		size := 2 + int(said[1]) + 6 // negotiation, and request but for the address
		switch said[size-3] {
		case 1:
			size += 4
		case 4:
			size += 16
		case 3:
			size += 1 + int(said[size-2])
		}
		if rest, _ := io.ReadAll(in); !bytes.Equal(rest, said[size:]) {
			t.Errorf("%q is left of %q, want %q", rest, said, said[size:])
		}
		if conn.wrote.String() != helloOK {
			t.Errorf("the library said %q", conn.wrote.String())
		}
	})
}

// scripted is a connection to which the test only writes.
type scripted struct {
	net.Conn
	wrote bytes.Buffer
}

func (s *scripted) Write(p []byte) (int, error) { return s.wrote.Write(p) }
func (s *scripted) RemoteAddr() net.Addr        { return nil }
