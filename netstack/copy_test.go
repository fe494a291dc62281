package netstack_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"nexd/netstack"
)

// A host socket, a Net, a Net, a host socket: bytes and ends of stream go both
// ways whatever kind of reader and writer stands at the outside.
func TestCopyBetweenHostAndMesh(t *testing.T) {
	for name, pipe := range map[string]func(testing.TB) (net.Conn, net.Conn){
		"TCP sockets":  hostPair,
		"Unix sockets": unixPair,
		"wrapped sockets": func(t testing.TB) (net.Conn, net.Conn) {
			a, b := hostPair(t)
			return a, wrapped{b.(*net.TCPConn)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, netstack.Config{})
			client, server := p.connect(t, addrB4)
			left, in := pipe(t)
			right, out := pipe(t)
			for _, c := range [][2]net.Conn{{client, in}, {in, client}, {server, out}, {out, server}} {
				go func() {
					io.Copy(c[0], c[1])
					c[0].(interface{ CloseWrite() error }).CloseWrite()
				}()
			}
			exchangeHost(t, left, right, big/2)
		})
	}
}

// wrapped hides that a socket is one.
type wrapped struct{ c *net.TCPConn }

func (w wrapped) Read(b []byte) (int, error)         { return w.c.Read(b) }
func (w wrapped) Write(b []byte) (int, error)        { return w.c.Write(b) }
func (w wrapped) Close() error                       { return w.c.Close() }
func (w wrapped) CloseWrite() error                  { return w.c.CloseWrite() }
func (w wrapped) LocalAddr() net.Addr                { return w.c.LocalAddr() }
func (w wrapped) RemoteAddr() net.Addr               { return w.c.RemoteAddr() }
func (w wrapped) SetDeadline(t time.Time) error      { return w.c.SetDeadline(t) }
func (w wrapped) SetReadDeadline(t time.Time) error  { return w.c.SetReadDeadline(t) }
func (w wrapped) SetWriteDeadline(t time.Time) error { return w.c.SetWriteDeadline(t) }

func unixPair(t testing.TB) (a, b net.Conn) {
	t.Helper()
	ln, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Skip(err)
	}
	defer ln.Close()
	accepted := make(chan net.Conn, 1)
	go func() { c, _ := ln.Accept(); accepted <- c }()
	if a, err = net.Dial("unix", ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	b = <-accepted
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

func exchangeHost(t *testing.T, left, right net.Conn, size int) {
	t.Helper()
	type sum = [sha256.Size]byte
	sums := make(chan sum, 4)
	for i, c := range []net.Conn{left, right} {
		go func() {
			h := sha256.New()
			io.Copy(c, io.TeeReader(random(size, uint64(i)), h))
			c.(interface{ CloseWrite() error }).CloseWrite()
			sums <- sum(h.Sum(nil))
		}()
		go func() {
			h := sha256.New()
			if n, err := io.Copy(h, c); n != int64(size) || err != nil {
				t.Errorf("received %d bytes, %v", n, err)
			}
			sums <- sum(h.Sum(nil))
		}()
	}
	count := map[sum]int{}
	for range 4 {
		count[<-sums]++
	}
	if len(count) != 2 {
		t.Errorf("%d different sums, want the two of what was sent", len(count))
	}
}

// Small messages are passed on at once, not kept until more comes.
func TestCopyDoesNotWait(t *testing.T) {
	p := newPair(t, netstack.Config{})
	client, server := p.connect(t, addrB4)
	left, in := hostPair(t)
	go io.Copy(client, in)
	go io.Copy(in, client)
	go io.Copy(server, server)
	left.SetDeadline(time.Now().Add(10 * time.Second))
	for _, size := range []int{1, 7, 1339, 1340, 1341, 5000, 100000} {
		msg := bytes.Repeat([]byte{byte(size)}, size)
		if _, err := left.Write(msg); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, size)
		if _, err := io.ReadFull(left, got); err != nil || !bytes.Equal(got, msg) {
			t.Fatalf("echo of %d bytes: %v", size, err)
		}
	}
}

func TestCopyErrors(t *testing.T) {
	p := newPair(t, netstack.Config{})
	client, server := p.connect(t, addrB4)
	_, in := hostPair(t)
	in.Close()
	if _, err := client.(*netstack.Conn).ReadFrom(in); !errors.Is(err, net.ErrClosed) {
		t.Errorf("ReadFrom a closed socket: %v", err)
	}
	server.Write([]byte("x"))
	if _, err := client.(*netstack.Conn).WriteTo(in); !errors.Is(err, net.ErrClosed) {
		t.Errorf("WriteTo a closed socket: %v", err)
	}
	if _, err := client.(*netstack.Conn).ReadFrom(failing{}); !errors.Is(err, os.ErrPermission) {
		t.Errorf("ReadFrom a failing reader: %v", err)
	}
	server.Write([]byte("x"))
	if _, err := client.(*netstack.Conn).WriteTo(failing{}); !errors.Is(err, os.ErrPermission) {
		t.Errorf("WriteTo a failing writer: %v", err)
	}
	a, b := hostPair(t)
	client.Close()
	a.Write([]byte("x"))
	if _, err := client.(*netstack.Conn).ReadFrom(b); !errors.Is(err, net.ErrClosed) {
		t.Errorf("ReadFrom of a closed connection: %v", err)
	}
	if _, err := client.(*netstack.Conn).WriteTo(b); !errors.Is(err, net.ErrClosed) {
		t.Errorf("WriteTo of a closed connection: %v", err)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error)  { return 0, os.ErrPermission }
func (failing) Write([]byte) (int, error) { return 0, os.ErrPermission }
