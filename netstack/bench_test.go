package netstack_test

import (
	"io"
	"net"
	"testing"
	"time"

	"nexd/netstack"
)

// BenchmarkStream is one stream through two Nets with nothing but memory copies
// between them.
func BenchmarkStream(b *testing.B) {
	p := newPair(b, netstack.Config{})
	client, server := p.connect(b, addrB4)
	got := make(chan int64, 1)
	go func() {
		n, _ := io.Copy(discard{}, server)
		got <- n
	}()
	chunk := make([]byte, 256<<10)
	b.SetBytes(int64(len(chunk)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := client.Write(chunk); err != nil {
			b.Fatal(err)
		}
	}
	client.Close()
	<-got
	b.ReportMetric(float64(p.wire.packets.Load())/float64(p.wire.batches.Load()), "packets/batch")
}

// discard is io.Discard without its ReadFrom, so that WriteTo is what is
// measured.
type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

// BenchmarkSplice is the path of a proxy: host socket, Net, Net, host socket.
func BenchmarkSplice(b *testing.B) {
	p := newPair(b, netstack.Config{})
	client, server := p.connect(b, addrB4)
	src, in := hostPair(b)
	out, dst := hostPair(b)
	go func() { io.Copy(client, in); client.(*netstack.Conn).CloseWrite() }()
	go func() { io.Copy(out, server); out.(*net.TCPConn).CloseWrite() }()
	done := make(chan int64, 1)
	go func() { n, _ := io.Copy(discard{}, dst); done <- n }()
	chunk := make([]byte, 256<<10)
	b.SetBytes(int64(len(chunk)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := src.Write(chunk); err != nil {
			b.Fatal(err)
		}
	}
	src.Close()
	<-done
	b.ReportMetric(float64(p.wire.packets.Load())/float64(p.wire.batches.Load()), "packets/batch")
}

func BenchmarkRoundTrip(b *testing.B) {
	p := newPair(b, netstack.Config{})
	client, server := p.connect(b, addrB4)
	go io.Copy(server, server)
	msg := make([]byte, 64)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := client.Write(msg); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(client, msg); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkConnect(b *testing.B) {
	p := newPair(b, netstack.Config{})
	ln, at := mustListen(b, p.b, addrB4)
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	b.ReportAllocs()
	for b.Loop() {
		c, err := p.a.DialTCP(within(b, 10*time.Second), at)
		if err != nil {
			b.Fatal(err)
		}
		io.Copy(io.Discard, c)
		c.Close()
	}
}

// hostPair is a connection of the host's loopback.
func hostPair(t testing.TB) (a, b net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	accepted := make(chan net.Conn, 1)
	go func() {
		c, _ := ln.Accept()
		accepted <- c
	}()
	if a, err = net.Dial("tcp", ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	b = <-accepted
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}
