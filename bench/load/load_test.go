//go:build linux

package load

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"nexd/internal/eventually"
	"nexd/internal/leak"
)

// pair is a load client whose server is on the loopback.
func pair(t *testing.T) (*ClientCalls, *loadServer) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	s := new(loadServer)
	go s.serve(ln)
	c := new(ClientCalls)
	c.dialer.target = netip.MustParseAddrPort(ln.Addr().String())
	return c, s
}

func TestBulkIsCountedWhereItArrives(t *testing.T) {
	leak.Check(t)
	c, s := pair(t)
	for _, flow := range []Bulk{{Streams: 2}, {Up: true, Streams: 2}} {
		if err := c.Begin(flow, nil); err != nil {
			t.Fatal(err)
		}
		count := func() (n int64) {
			if flow.Up {
				(&ServerCalls{s}).Received(struct{}{}, &n)
			} else {
				c.Received(struct{}{}, &n)
			}
			return n
		}
		eventually.Shown(t, eventually.Patience, func() string { return fmt.Sprintf("%+v: %d bytes come", flow, count()) }, func() bool {
			return count() >= 3*bulkSize
		})
		if err := c.End(struct{}{}, nil); err != nil || len(c.bulk) != 0 {
			t.Errorf("End: %v, %d connections left", err, len(c.bulk))
		}
	}
}

func TestRoundTripsAndConnections(t *testing.T) {
	leak.Check(t)
	c, _ := pair(t)
	var l Latency
	if err := c.RoundTrips(20*time.Millisecond, &l); err != nil || l.Count == 0 || l.P50 <= 0 || l.P99 < l.P50 {
		t.Errorf("round trips %+v, %v", l, err)
	}
	var r Rate
	if err := c.Connections(Burst{Workers: 4, Window: 20 * time.Millisecond}, &r); err != nil || r.Count < 4 || r.Errors != 0 || r.Elapsed < 20*time.Millisecond {
		t.Errorf("connections %+v, %v", r, err)
	}
	var opened int
	if err := c.Hold(10, &opened); err != nil || opened != 10 {
		t.Errorf("held %d, %v", opened, err)
	}
	if err := c.Release(struct{}{}, nil); err != nil || len(c.held) != 0 {
		t.Errorf("release: %v, %d left", err, len(c.held))
	}
	if err := c.FirstByte(time.Second, nil); err != nil {
		t.Errorf("first byte: %v", err)
	}
}

func TestNoServer(t *testing.T) {
	leak.Check(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	c := new(ClientCalls)
	c.dialer.target = netip.MustParseAddrPort(ln.Addr().String())
	if err := c.FirstByte(5*time.Millisecond, nil); err == nil {
		t.Error("a byte came from nowhere")
	}
	var r Rate
	if c.Connections(Burst{Workers: 1, Window: time.Millisecond}, &r); r.Count != 0 || r.Errors == 0 || r.LastError == "" {
		t.Errorf("connections to nowhere: %+v", r)
	}
	if err := c.Begin(Bulk{Streams: 1}, nil); err == nil {
		t.Error("a bulk flow to nowhere began")
	}
}

// socksProxy answers one client with what it is given and returns what it asked.
func socksProxy(t *testing.T, greeting, reply []byte) (addr string, asked <-chan []byte) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	got := make(chan []byte, 1)
	go func() {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		b := make([]byte, 13)
		io.ReadFull(c, b[:3])
		c.Write(greeting)
		io.ReadFull(c, b[3:])
		c.Write(reply)
		got <- b
	}()
	return ln.Addr().String(), got
}

func TestDialThroughSOCKS(t *testing.T) {
	leak.Check(t)
	fine := []byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0}
	addr, asked := socksProxy(t, []byte{5, 0}, fine)
	d := dialer{target: netip.MustParseAddrPort("172.24.0.10:7000"), proxy: addr}
	c, err := d.dial(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if got, want := string(<-asked), "\x05\x01\x00\x05\x01\x00\x01\xac\x18\x00\x0a\x1b\x58"; got != want {
		t.Errorf("asked % x, want % x", got, want)
	}
	for name, bad := range map[string][2][]byte{
		"wants a password": {{5, 2}, fine},
		"refused":          {{5, 0}, {5, 5, 0, 1, 0, 0, 0, 0, 0, 0}},
		"cut short":        {{5, 0}, {5, 0}},
	} {
		d.proxy, _ = socksProxy(t, bad[0], bad[1])
		if c, err := d.dial(context.Background()); err == nil {
			c.Close()
			t.Errorf("%s: connected", name)
		}
	}
}
