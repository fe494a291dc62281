package netstack_test

import (
	"encoding/binary"
	"io"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"nexd/internal/eventually"
	"nexd/internal/leak"
	"nexd/internal/packet"
	"nexd/netstack"
)

// repeated is less than the time after which a lost SYN is repeated.
const repeated = 900 * time.Millisecond

// acceptAndClose accepts every flow, reads a byte and closes first, as a web server does
// without keep-alive: TIME_WAIT is on its side.
func acceptAndClose(t *testing.T) netstack.Inbound {
	return netstack.Inbound{TCP: func(f *netstack.TCPFlow) {
		c, err := f.Accept(within(t, 5*time.Second))
		if err != nil {
			return
		}
		c.Read(make([]byte, 1))
		c.Write([]byte("x"))
		c.(interface{ CloseWrite() error }).CloseWrite()
		io.Copy(io.Discard, c)
		c.Close()
	}}
}

// A client that reuses its few ports again and again never waits for a repeated SYN, at a
// router's prefix and at a listener.
func TestAPortIsReusedAtOnce(t *testing.T) {
	p := newPair(t, netstack.Config{})
	p.b.HandleInbound(acceptAndClose(t))
	ln, err := p.b.ListenTCP(netip.AddrPortFrom(netip.IPv4Unspecified(), 80))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				c.Read(make([]byte, 1))
				c.Write([]byte("x"))
				c.Close()
			}()
		}
	}()
	netstack.SetPorts(p.a, 40000, 40063)
	for _, to := range []netip.Addr{container4, container6, addrB4} {
		var wg sync.WaitGroup
		var slow, failed atomic.Int32
		for range 8 {
			wg.Go(func() {
				for range 60 {
					began := time.Now()
					c, err := p.a.DialTCP(within(t, 10*time.Second), netip.AddrPortFrom(to, 80))
					if err != nil {
						t.Log(err)
						failed.Add(1)
						continue
					}
					c.Write([]byte("x"))
					if got, err := io.ReadAll(c); err != nil || len(got) != 1 {
						t.Logf("%d bytes, %v", len(got), err)
						failed.Add(1)
					}
					c.Close()
					if time.Since(began) > repeated {
						slow.Add(1)
					}
				}
			})
		}
		wg.Wait()
		if slow.Load() > 0 || failed.Load() > 0 {
			t.Errorf("to %v: of 480 connections, %d waited for a repeated SYN and %d failed", to, slow.Load(), failed.Load())
		}
	}
}

// client is the test as the client of a Net. It writes each packet itself.
type client struct {
	t          *testing.T
	n          *netstack.Net
	timestamps bool
	out        chan packet.TCP // what the Net sends
}

func soloClient(t *testing.T, h netstack.Inbound, timestamps bool) *client {
	t.Helper()
	leak.Check(t)
	n, err := netstack.New(netstack.Config{Addresses: []netip.Addr{addrB4}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	n.HandleInbound(h)
	c := &client{t: t, n: n, timestamps: timestamps, out: make(chan packet.TCP, 64)}
	go func() {
		bufs, sizes := [][]byte{make([]byte, 1<<16)}, []int{0}
		for {
			if _, err := n.Device().Read(bufs, sizes, 0); err != nil {
				return
			}
			if p, err := packet.ParseIP(append([]byte(nil), bufs[0][:sizes[0]]...)); err == nil {
				if seg, ok := p.TCP(); ok {
					c.out <- seg
				}
			}
		}
	}()
	return c
}

// segment sends a segment from port 1000 to port 80 of the container.
func (c *client) segment(seq, ack uint32, flags uint8, stamp uint32, data string) {
	c.t.Helper()
	h := tcpHeader(1000, 80, seq, ack, flags, "")
	if c.timestamps {
		h = append(h, 1, 1, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0)
		binary.BigEndian.PutUint32(h[len(h)-8:], stamp)
		h[12] = 0x80
	}
	inject(c.t, c.n, ipPacket(addrA4, container4, packet.ProtoTCP, append(h, data...)))
}

// next waits for a segment.
func (c *client) next(what string, is func(packet.TCP) bool) packet.TCP {
	c.t.Helper()
	for timeout := time.After(5 * time.Second); ; {
		select {
		case s := <-c.out:
			if is(s) {
				return s
			}
		case <-timeout:
			c.t.Fatalf("no %s", what)
		}
	}
}

func isSYN(s packet.TCP) bool { return s.Flags()&packet.SYN != 0 }

// TestAForgottenConnection is of a client that was restarted. It opens a connection from a port
// whose old connection it has forgotten, and does not repeat the SYN.
func TestAForgottenConnection(t *testing.T) {
	n := soloClient(t, acceptAndClose(t), false)
	n.segment(1000, 0, packet.SYN, 0, "")
	s := n.next("SYN-ACK", isSYN).Seq() + 1
	n.segment(1001, s, packet.ACK, 0, "")
	n.segment(77, 0, packet.SYN, 0, "")
	ask := n.next("question", func(s packet.TCP) bool { return s.Flags() == packet.ACK && s.Ack() == 1001 })
	n.segment(ask.Ack(), 0, packet.RST, 0, "")
	if s := n.next("second SYN-ACK", isSYN); s.Ack() != 78 {
		t.Errorf("the SYN-ACK acknowledges %d, want 78", s.Ack())
	}
}

// TestSYNsInTIMEWAIT writes the packets of a client itself. A newer SYN opens a
// connection; a repeated one of the old connection does not.
func TestSYNsInTIMEWAIT(t *testing.T) {
	for _, tt := range []struct {
		name       string
		timestamps bool
		seq, stamp uint32 // of the second SYN; the first connection used 1000…1003 and 5000
		opens      bool
	}{
		{"a later timestamp", true, 77, 5001, true},
		{"an earlier timestamp and a higher number", true, 2000, 4999, false},
		{"a higher number", false, 2000, 0, true},
		{"the SYN once more", false, 1000, 0, false},
		{"a lower number", false, 77, 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var flows atomic.Int32
			handler := acceptAndClose(t)
			n := soloClient(t, netstack.Inbound{TCP: func(f *netstack.TCPFlow) { flows.Add(1); handler.TCP(f) }}, tt.timestamps)
			n.segment(1000, 0, packet.SYN, 4990, "")
			s := n.next("SYN-ACK", isSYN).Seq() + 1
			n.segment(1001, s, packet.ACK, 4995, "x")
			fin := n.next("FIN", func(s packet.TCP) bool { return s.Flags()&packet.FIN != 0 })
			s = fin.Seq() + uint32(len(fin.Data())) + 1
			n.segment(1002, s, packet.ACK|packet.FIN, 5000, "")
			n.next("acknowledgement of the FIN", func(s packet.TCP) bool { return s.Ack() == 1003 })
			n.segment(tt.seq, 0, packet.SYN, tt.stamp, "")
			if tt.opens {
				n.next("second SYN-ACK", isSYN)
				return
			}
			eventually.Stays(t, 150*time.Millisecond, "one flow", func() bool { return flows.Load() == 1 })
		})
	}
}
