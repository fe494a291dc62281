package router

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"nexd/internal/datagram"
	"nexd/internal/leak"
)

func TestUDPVerdicts(t *testing.T) {
	leak.Check(t)
	for _, tt := range []struct {
		err  error
		want string
	}{
		{nil, "accept"},
		{errno(syscall.ECONNREFUSED), "refuse"},
		{errno(syscall.EHOSTUNREACH), "host unreachable"},
		{errno(syscall.ENETUNREACH), "network unreachable"},
		{errno(syscall.EACCES), "prohibited"},
		{errno(syscall.EMFILE), "refuse"},
	} {
		w := newWorld()
		w.fail("172.24.0.10:53", tt.err)
		r, stop := running(t, Config{Advertisements: ads(t, "172.24.0.0/24"), Dial: w.dial})
		f := udpFlow(peer, "172.24.0.10:53")
		r.UDP(f)
		if got := <-f.ch; got != tt.want || f.count() != 1 {
			t.Errorf("%v: verdict %s (%d of them), want %s once", tt.err, got, f.count(), tt.want)
		}
		stop()
		if n := len(r.accounts.peers); n != 0 {
			t.Errorf("%v: %d accounts left open", tt.err, n)
		}
	}
}

func TestUDPFlowsEndWhenQuiet(t *testing.T) {
	for _, tt := range []struct {
		port           int
		want, answered time.Duration
	}{{53, 30 * time.Second, 2 * time.Second}, {4000, 2 * time.Minute, 2 * time.Minute}} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			r, stop := running(t, Config{Advertisements: ads(t, "172.24.0.0/24"), Dial: w.dial})
			defer stop()
			f := udpFlow(peer, fmt.Sprintf("172.24.0.10:%d", tt.port))
			r.UDP(f)
			far := <-w.served
			time.Sleep(tt.want - time.Second)
			f.client.Write([]byte("still here"))
			synctest.Wait()
			time.Sleep(tt.want - time.Second)
			far.Write([]byte("and answering"))
			synctest.Wait()
			began := time.Now()
			<-f.mine.closed
			if got := time.Since(began); got != tt.answered {
				t.Errorf("port %d: ended %v after the answer, want %v", tt.port, got, tt.answered)
			}
		})
	}
}

func TestUDPFlowsAtTheirLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		r, stop := running(t, Config{Advertisements: ads(t, "172.24.0.0/24"), Dial: w.dial, Limits: Limits{UDPFlows: 2}})
		defer stop()
		for i, want := range []string{"accept", "accept", "drop"} {
			f := udpFlow(fmt.Sprintf("100.64.0.2:%d", 1000+i), "172.24.0.10:53")
			r.UDP(f)
			if got := <-f.ch; got != want {
				t.Errorf("flow %d: %s, want %s", i, got, want)
			}
		}
		f := udpFlow(other, "172.24.0.10:53")
		r.UDP(f)
		if got := <-f.ch; got != "accept" {
			t.Errorf("another peer: %s", got)
		}
		if s := r.Stats(); s.UDP != 3 || s.Limited != 1 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestUDPTargetThatGoesAwayIsToldToTheClient(t *testing.T) {
	for _, tt := range []struct {
		err  syscall.Errno
		want string
	}{{syscall.ECONNREFUSED, "port"}, {syscall.EHOSTUNREACH, "host"}, {syscall.ENETUNREACH, "host"}} {
		synctest.Test(t, func(t *testing.T) {
			r, stop := running(t, Config{Advertisements: ads(t, "172.24.0.0/24"), Dial: func(context.Context, string, string) (net.Conn, error) {
				near, _ := messagePair()
				return &failing{messages: near, err: errno(tt.err)}, nil
			}})
			defer stop()
			f := udpFlow(peer, "172.24.0.10:9")
			r.UDP(f)
			f.client.Write([]byte("anybody?"))
			if got := <-f.mine.heard; got != tt.want {
				t.Errorf("%v: client heard %s, want %s", tt.err, got, tt.want)
			}
			<-f.mine.closed
			synctest.Wait()
			if s := r.Stats(); s.UDP != 0 {
				t.Errorf("%v: the flow is still there", tt.err)
			}
		})
	}
}

// failing is a host socket whose writes fail.
type failing struct {
	*messages
	err error
}

func (f *failing) Write([]byte) (int, error) { return 0, f.err }

func TestUDPErrorsThatCostOneDatagramOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, stop := running(t, Config{Advertisements: ads(t, "172.24.0.0/24"), Dial: func(context.Context, string, string) (net.Conn, error) {
			near, _ := messagePair()
			return &failing{messages: near, err: errno(syscall.EMSGSIZE)}, nil
		}})
		defer stop()
		f := udpFlow(peer, "172.24.0.10:9")
		r.UDP(f)
		f.client.Write([]byte("too long"))
		synctest.Wait()
		if s := r.Stats(); s.UDP != 1 {
			t.Error("the flow ended")
		}
	})
}

// udpEcho answers every datagram with itself, on a real socket.
func udpEcho(t *testing.T, network, addr string) *net.UDPAddr {
	t.Helper()
	pc, err := net.ListenPacket(network, addr)
	if err != nil {
		t.Skipf("no %s here: %v", addr, err)
	}
	t.Cleanup(func() { pc.Close() })
	go func() {
		buf := make([]byte, datagram.Size)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			pc.WriteTo(buf[:n], from)
		}
	}()
	return pc.LocalAddr().(*net.UDPAddr)
}

func TestUDPOverRealSocketsKeepsDatagramsWhole(t *testing.T) {
	leak.Check(t)
	for _, tt := range []struct{ network, listen, advertise, mesh, allow string }{
		{"udp4", "127.0.0.1:0", "10.99.0.1/32=127.0.0.1/32", "10.99.0.1", "127.0.0.1"},
		{"udp6", "[::1]:0", "fd99::1/128=::1/128", "[fd99::1]", "::1"},
	} {
		t.Run(tt.network, func(t *testing.T) {
			allow, err := ParseAllow(tt.allow)
			if err != nil {
				t.Fatal(err)
			}
			to := udpEcho(t, tt.network, tt.listen)
			r, stop := running(t, Config{Advertisements: ads(t, tt.advertise), AllowLocal: []Allow{allow}})
			f := udpFlow(peer, fmt.Sprintf("%s:%d", tt.mesh, to.Port))
			r.UDP(f)
			buf := make([]byte, datagram.Size)
			for _, size := range []int{0, 1, 1200, 9000, 65507} {
				want := bytes.Repeat([]byte{byte(size)}, size)
				f.client.Write(want)
				n, err := f.client.Read(buf)
				if err != nil || !bytes.Equal(buf[:n], want) {
					t.Errorf("%d bytes came back as %d, %v", size, n, err)
				}
			}
			stop()
		})
	}
}

func TestUDPClosedPortOfThisHost(t *testing.T) {
	leak.Check(t)
	pc, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := pc.LocalAddr().(*net.UDPAddr).Port
	pc.Close()
	r, stop := running(t, loopback(t))
	f := udpFlow(peer, fmt.Sprintf("10.99.0.1:%d", port))
	r.UDP(f)
	f.client.Write([]byte("anybody?"))
	if got := <-f.mine.heard; got != "port" {
		t.Errorf("client heard %s", got)
	}
	stop()
	if s := r.Stats(); s.PortUnreachable != 1 {
		t.Errorf("stats %+v", s)
	}
}

func TestTheMeshCannotBroadcast(t *testing.T) {
	c, err := hostDialer().DialContext(context.Background(), "udp", "127.255.255.255:9")
	if err == nil {
		c.Close()
		t.Error("a host socket may broadcast")
	} else if outcomeOf(err) != prohibited {
		t.Errorf("broadcast: %v is %v", err, outcomeOf(err))
	}
}

// BenchmarkUDP sends datagrams through a flow between real sockets and back.
func BenchmarkUDP(b *testing.B) {
	echo, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer echo.Close()
	go func() {
		buf, pc := make([]byte, datagram.Size), echo.(*net.UDPConn)
		for {
			n, from, err := pc.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			pc.WriteToUDPAddrPort(buf[:n], from)
		}
	}()
	r, _ := running(b, Config{Advertisements: ads(b, "10.99.0.1/32=127.0.0.1/32"), AllowLocal: []Allow{{Prefix: local[0]}}})
	near, _ := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	client, err := net.DialUDP("udp4", nil, near.LocalAddr().(*net.UDPAddr))
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	from := client.LocalAddr().(*net.UDPAddr)
	near.Close()
	mine, err := net.DialUDP("udp4", near.LocalAddr().(*net.UDPAddr), from)
	if err != nil {
		b.Fatal(err)
	}
	r.UDP(&socketUDP{said: newSaid(), dst: fmt.Sprintf("10.99.0.1:%d", echo.LocalAddr().(*net.UDPAddr).Port), conn: mine})
	buf := make([]byte, 1200)
	b.SetBytes(1200)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := client.Write(buf); err != nil {
			b.Fatal(err)
		}
		if _, err := client.Read(buf); err != nil {
			b.Fatal(err)
		}
	}
}

// socketUDP is a flow whose mesh side is a socket.
type socketUDP struct {
	*said
	dst  string
	conn net.Conn
}

func (f *socketUDP) Source() netip.AddrPort      { return ap(peer) }
func (f *socketUDP) Destination() netip.AddrPort { return ap(f.dst) }
func (f *socketUDP) Accept() (net.Conn, error)   { return f.conn, nil }
