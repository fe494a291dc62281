//go:build unix

package hostsocket_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"nexd/internal/eventually"
	"nexd/netstack/hostsocket"
)

func pair(t *testing.T) (a, b *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	d, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); d.Close() })
	return c.(*net.TCPConn), d.(*net.TCPConn)
}

// A full socket stops the writer; what it wrote arrives.
func TestWriterStopsAtAFullSocket(t *testing.T) {
	a, b := pair(t)
	var w hostsocket.Writer
	var wrote int
	chunk := bytes.Repeat([]byte("x"), 1<<20)
	err := hostsocket.RawConn(a).Write(func(fd uintptr) bool {
		w.FD = int(fd)
		for {
			n, err := w.Write(chunk)
			wrote += n
			if err != nil {
				if !errors.Is(err, io.ErrShortWrite) {
					t.Errorf("Write: %v", err)
				}
				return true
			}
		}
	})
	if err != nil || !w.Full || w.Err != nil {
		t.Fatalf("after %d bytes: %v, full %v, %v", wrote, err, w.Full, w.Err)
	}
	a.CloseWrite()
	if n, err := io.Copy(io.Discard, b); n != int64(wrote) || err != nil {
		t.Errorf("%d bytes arrived, %v; want %d", n, err, wrote)
	}
}

func TestReadable(t *testing.T) {
	a, b := pair(t)
	if _, err := a.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	rc := hostsocket.RawConn(b)
	eventually.True(t, "five bytes can be read", func() (five bool) {
		rc.Control(func(fd uintptr) {
			n, errno := hostsocket.Readable(int(fd))
			five = n == 5 && errno == 0
		})
		return five
	})
	rc.Control(func(fd uintptr) {
		buf := make([]byte, 10)
		if n, errno := hostsocket.Read(int(fd), buf); errno != 0 || string(buf[:n]) != "hello" {
			t.Errorf("read %q, %v", buf[:n], errno)
		}
		if _, errno := hostsocket.Read(int(fd), buf); errno != syscall.EAGAIN {
			t.Errorf("read of an empty socket: %v", errno)
		}
	})
}

func TestOnlySocketsHaveADescriptor(t *testing.T) {
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, v := range []any{f, time.Second, nil} {
		if rc := hostsocket.RawConn(v); rc != nil {
			t.Errorf("%T has a descriptor", v)
		}
	}
}
