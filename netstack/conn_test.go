package netstack_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/nettest"

	"nexd/internal/eventually"
	"nexd/netstack"
)

func TestNettest(t *testing.T) {
	for name, addr := range map[string]netip.Addr{"IPv4": addrB4, "IPv6": addrB6} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, netstack.Config{})
			nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
				c1, c2 = p.connect(t, addr)
				return c1, c2, func() { c1.Close(); c2.Close() }, nil
			})
		})
	}
}

// random is n bytes that do not compress and differ by seed.
func random(n int, seed uint64) io.Reader {
	return io.LimitReader(rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}), int64(n))
}

// send writes size bytes to c and closes that half; the sum of what was written
// comes back.
func send(t *testing.T, c net.Conn, size int, seed uint64) (sum [32]byte) {
	h := sha256.New()
	if _, err := io.Copy(c, io.TeeReader(random(size, seed), h)); err != nil {
		t.Errorf("send: %v", err)
	}
	if err := c.(*netstack.Conn).CloseWrite(); err != nil {
		t.Errorf("CloseWrite: %v", err)
	}
	return [32]byte(h.Sum(nil))
}

func receive(t *testing.T, c net.Conn) (n int64, sum [32]byte) {
	h := sha256.New()
	n, err := io.Copy(h, c)
	if err != nil {
		t.Errorf("receive after %d bytes: %v", n, err)
	}
	return n, [32]byte(h.Sum(nil))
}

// exchange sends size bytes each way at the same time.
func exchange(t *testing.T, a, b net.Conn, size int) {
	t.Helper()
	var sent, got [2][32]byte
	var n [2]int64
	var wg sync.WaitGroup
	for i, c := range []net.Conn{a, b} {
		wg.Go(func() { sent[i] = send(t, c, size, uint64(i+1)) })
		wg.Go(func() { n[i], got[i] = receive(t, c) })
	}
	wg.Wait()
	if n[0] != int64(size) || n[1] != int64(size) || got[0] != sent[1] || got[1] != sent[0] {
		t.Errorf("sent %d bytes each way, got %d and %d, sums equal: %v %v", size, n[0], n[1], got[0] == sent[1], got[1] == sent[0])
	}
}

func TestTransferBothWays(t *testing.T) {
	for name, addr := range map[string]netip.Addr{"IPv4": addrB4, "IPv6": addrB6} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, netstack.Config{})
			client, server := p.connect(t, addr)
			exchange(t, client, server, big)
			for side, n := range map[string]*netstack.Net{"a": p.a, "b": p.b} {
				if s := n.Stats(); s.RxChecksum != 0 || s.RxMalformed != 0 || s.TxOversize != 0 || s.TCPInvalidSegments != 0 {
					t.Errorf("%s dropped packets: %+v", side, s)
				}
			}
			if perBatch := p.wire.packets.Load() / p.wire.batches.Load(); perBatch < 5 {
				t.Errorf("%d packets per batch: super-segments do not form", perBatch)
			}
		})
	}
}

func TestTransferOverABadWire(t *testing.T) {
	for _, tt := range []struct {
		name          string
		loss, reorder uint64
		size          int
	}{{"1 % loss", 100, 0, 2 << 20}, {"reordering", 0, 200, 10 << 20}, {"both, much", 300, 300, 512 << 10}} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPair(t, netstack.Config{})
			client, server := p.connect(t, addrB4)
			p.wire.loss.Store(tt.loss)
			p.wire.reorder.Store(tt.reorder)
			exchange(t, client, server, tt.size)
			p.wire.loss.Store(0)
		})
	}
}

func TestHalfClose(t *testing.T) {
	p := newPair(t, netstack.Config{})
	client, server := p.connect(t, addrB4)
	if _, err := client.Write([]byte("question")); err != nil {
		t.Fatal(err)
	}
	if err := client.(*netstack.Conn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	question, err := io.ReadAll(server)
	if err != nil || string(question) != "question" {
		t.Fatalf("server read %q, %v", question, err)
	}
	if _, err := client.Write([]byte("more")); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("Write after CloseWrite: %v, want EPIPE", err)
	}
	if _, err := server.Write([]byte("answer")); err != nil {
		t.Fatal(err)
	}
	server.Close()
	answer, err := io.ReadAll(client)
	if err != nil || string(answer) != "answer" {
		t.Errorf("client read %q, %v", answer, err)
	}
}

func TestThousandConnections(t *testing.T) {
	const many = 1000
	p := newPair(t, netstack.Config{})
	ln, at := mustListen(t, p.b, addrB4)
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() { io.Copy(c, c); c.Close() }()
		}
	}()
	var wg sync.WaitGroup
	errs := make(chan error, many)
	for i := range many {
		wg.Go(func() {
			c, err := p.a.DialTCP(within(t, 30*time.Second), at)
			if err != nil {
				errs <- err
				return
			}
			defer c.Close()
			want := fmt.Appendf(nil, "this is connection %d", i)
			c.Write(want)
			got := make([]byte, len(want))
			if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, want) {
				errs <- fmt.Errorf("echo of %q is %q, %v", want, got, err)
			}
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
}

func TestAddresses(t *testing.T) {
	p := newPair(t, netstack.Config{})
	client, server := p.connect(t, addrB6)
	for when := range []string{"open", "closed"} {
		if client.LocalAddr().String() != server.RemoteAddr().String() || client.RemoteAddr().String() != server.LocalAddr().String() {
			t.Errorf("%v: client %v to %v, server %v to %v", when, client.LocalAddr(), client.RemoteAddr(), server.LocalAddr(), server.RemoteAddr())
		}
		if a, ok := client.LocalAddr().(*net.TCPAddr); !ok || a.AddrPort().Addr() != addrA6 || a.Port == 0 {
			t.Errorf("%v: local address %v", when, client.LocalAddr())
		}
		client.Close()
		server.Close()
	}
}

func TestCloseErrors(t *testing.T) {
	p := newPair(t, netstack.Config{})
	client, server := p.connect(t, addrB4)
	blocked := make(chan error, 1)
	go func() {
		_, err := client.Read(make([]byte, 1))
		blocked <- err
	}()
	eventually.True(t, "Read is blocked", func() bool { return netstack.Blocked(client) }) // the order that is rare by itself
	client.Close()
	if err := <-blocked; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Read while closed: %v", err)
	}
	for name, call := range map[string]func() error{
		"Read":       func() error { _, err := client.Read(make([]byte, 1)); return err },
		"Write":      func() error { _, err := client.Write([]byte("x")); return err },
		"Close":      client.Close,
		"CloseWrite": client.(*netstack.Conn).CloseWrite,
		"Deadline":   func() error { return client.SetDeadline(time.Now()) },
	} {
		var op *net.OpError
		if err := call(); !errors.Is(err, net.ErrClosed) || !errors.As(err, &op) {
			t.Errorf("%s after Close: %v, want net.ErrClosed in an OpError", name, err)
		}
	}
	if _, err := server.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the other side reads %v, want EOF", err)
	}
}

func TestResetIsNoEOF(t *testing.T) {
	p := newPair(t, netstack.Config{})
	client, server := p.connect(t, addrB4)
	if _, err := client.Write([]byte("unread")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(server, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	server.Close() // with unread data: a reset
	if _, err := client.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("Read of a reset connection: %v, want ECONNRESET", err)
	}
}

func TestDeadlineError(t *testing.T) {
	p := newPair(t, netstack.Config{})
	client, _ := p.connect(t, addrB4)
	client.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	_, err := client.Read(make([]byte, 1))
	var ne net.Error
	if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &ne) || !ne.Timeout() {
		t.Errorf("Read past the deadline: %v", err)
	}
}

func TestDialErrors(t *testing.T) {
	p := newPair(t, netstack.Config{})
	for _, addr := range []netip.Addr{addrB4, addrB6} {
		_, err := p.a.DialTCP(within(t, 5*time.Second), netip.AddrPortFrom(addr, 9))
		if !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("closed port of %v: %v, want ECONNREFUSED", addr, err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.wire.down.Store(true)
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := p.a.DialTCP(ctx, netip.AddrPortFrom(addrB4, 9)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled dial: %v", err)
	}
	_, err := p.a.DialTCP(within(t, 20*time.Millisecond), netip.AddrPortFrom(addrB4, 9))
	for _, want := range []error{syscall.ETIMEDOUT, os.ErrDeadlineExceeded, context.DeadlineExceeded} {
		if !errors.Is(err, want) {
			t.Errorf("silence until the deadline: %v is not %v", err, want)
		}
	}
	if s := p.a.Stats(); s.TCPDialed != 4 || s.TCPDialsFailed != 4 {
		t.Errorf("%d of %d dials failed, want 4 of 4", s.TCPDialsFailed, s.TCPDialed)
	}
	for address, want := range map[string]error{
		"127.0.0.1:1": syscall.ENETUNREACH, "[ff02::1]:1": syscall.ENETUNREACH, "0.0.0.0:1": syscall.EADDRNOTAVAIL,
	} {
		if _, err := p.a.DialContext(within(t, time.Second), "tcp", address); !errors.Is(err, want) {
			t.Errorf("dial %s: %v, want %v", address, err, want)
		}
	}
	for _, bad := range [][2]string{{"tcp", "host:80"}, {"tcp4", "[fd00::1]:80"}, {"udp6", "1.2.3.4:80"}, {"unix", "1.2.3.4:80"}} {
		if _, err := p.a.DialContext(within(t, time.Second), bad[0], bad[1]); err == nil {
			t.Errorf("dial %v succeeded", bad)
		}
	}
}
