package router

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"nexd/internal/leak"
	"nexd/internal/splice"
)

const (
	peer  = "100.64.0.2:40000"
	other = "100.64.0.3:40000"
)

func TestTheClientHearsWhatTheTargetSaid(t *testing.T) {
	leak.Check(t)
	for _, tt := range []struct {
		err  error
		want string
	}{
		{nil, "accept"},
		{errno(syscall.ECONNREFUSED), "refuse"},
		{errno(syscall.ECONNRESET), "refuse"},
		{errno(syscall.EHOSTUNREACH), "host unreachable"},
		{errno(syscall.ENETUNREACH), "network unreachable"},
		{errno(syscall.EACCES), "prohibited"},
		{errno(syscall.EPERM), "prohibited"},
		{errno(syscall.ETIMEDOUT), "drop"},
		{context.DeadlineExceeded, "drop"},
		{errno(syscall.EMFILE), "refuse"},
		{errno(syscall.EINVAL), "host unreachable"},
	} {
		t.Run(fmt.Sprint(tt.err), func(t *testing.T) {
			w := newWorld()
			w.fail("172.24.0.10:80", tt.err)
			r, stop := running(t, Config{Advertisements: ads(t, "172.24.0.0/24"), Dial: w.dial})
			f := tcpFlow(peer, "172.24.0.10:80")
			f.client.Close()
			r.TCP(f)
			if got := <-f.ch; got != tt.want || f.count() != 1 {
				t.Errorf("verdict %s (%d of them), want %s once", got, f.count(), tt.want)
			}
			stop()
		})
	}
}

func TestTheTargetIsDialledBeforeTheClientIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		release := make(chan struct{})
		r, stop := running(t, Config{Advertisements: ads(t, "172.24.0.0/24"), Dial: func(ctx context.Context, n, a string) (net.Conn, error) {
			<-release
			return w.dial(ctx, n, a)
		}})
		f := tcpFlow(peer, "172.24.0.10:80")
		go r.TCP(f)
		synctest.Wait()
		if f.count() != 0 {
			t.Fatalf("verdict %s before the target answered", <-f.ch)
		}
		if s := r.Stats(); s.Dialing != 1 || s.TCP != 1 {
			t.Errorf("stats while dialling: %+v", s)
		}
		close(release)
		if got := <-f.ch; got != "accept" {
			t.Errorf("verdict %s", got)
		}
		synctest.Wait()
		if fl := r.Flows(); len(fl) != 1 || !fl[0].Open || fl[0].Target != ap("172.24.0.10:80") {
			t.Errorf("flows: %+v", fl)
		}
		stop()
	})
}

func TestSilenceStaysSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.kill("172.24.0.9", true)
		r, stop := running(t, Config{Advertisements: ads(t, "172.24.0.0/24"), Dial: w.dial})
		defer stop()
		f, began := tcpFlow(peer, "172.24.0.9:80"), time.Now()
		r.TCP(f)
		if got := <-f.ch; got != "drop" || time.Since(began) != 10*time.Second {
			t.Errorf("%s after %v, want drop after 10s", got, time.Since(began))
		}
	})
}

func TestAClientThatLeavesEndsTheDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.kill("172.24.0.9", true)
		r, stop := running(t, Config{Advertisements: ads(t, "172.24.0.0/24"), Dial: w.dial})
		defer stop()
		f, began := tcpFlow(peer, "172.24.0.9:80"), time.Now()
		time.AfterFunc(time.Second, func() { close(f.gone) })
		r.TCP(f)
		if got := <-f.ch; got != "drop" || time.Since(began) != time.Second {
			t.Errorf("%s after %v, want drop after 1s", got, time.Since(began))
		}
		if s := r.Stats(); s.Abandoned != 1 || s.TCP != 0 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestDeadHostsDoNotStarveALiveOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		r, stop := running(t, Config{Advertisements: ads(t, "172.24.0.0/24"), Dial: w.dial})
		for i := range 15 {
			host := fmt.Sprintf("172.24.0.%d", 100+i)
			w.kill(host, true)
			for range 200 {
				go r.TCP(tcpFlow(peer, host+":80"))
			}
		}
		synctest.Wait()
		s := r.Stats()
		if dials(r) != 15*32 || s.Limited != 15*200-15*32-1024 {
			t.Errorf("%d dialling and %d turned away, want 32 for each dead host, and 1,024 waiting", dials(r), s.Limited)
		}
		began := time.Now()
		for _, from := range []string{peer, other} {
			f := tcpFlow(from, "172.24.0.10:80")
			go r.TCP(f)
			if got := <-f.ch; got != "accept" || time.Since(began) != 0 {
				t.Errorf("live host: %s after %v", got, time.Since(began))
			}
		}
		stop()
		if n := len(r.accounts.peers); n != 0 {
			t.Errorf("%d accounts left open", n)
		}
	})
}

func TestAScanOfManyDeadHostsLeavesRoomForProvenOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		r, stop := running(t, Config{Advertisements: ads(t, "172.24.0.0/16"), Dial: w.dial})
		defer stop()
		first := tcpFlow(peer, "172.24.0.10:80")
		go r.TCP(first)
		<-first.ch
		for i := range 2000 {
			host := fmt.Sprintf("172.24.%d.%d", 1+i/250, 1+i%250)
			w.kill(host, true)
			go r.TCP(tcpFlow(peer, host+":80"))
		}
		synctest.Wait()
		if dials(r) != 768 {
			t.Errorf("%d dialling, want three quarters of 1024", dials(r))
		}
		f := tcpFlow(peer, "172.24.0.10:80")
		go r.TCP(f)
		if got := <-f.ch; got != "accept" {
			t.Errorf("a host known to be alive: %s", got)
		}
	})
}

func TestATargetThatDiesLaterDoesNotTakeAllDials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		r, stop := running(t, Config{Advertisements: ads(t, "172.24.0.0/16"), Dial: w.dial})
		defer stop()
		for _, host := range []string{"172.24.0.9", "172.24.0.10"} {
			f := tcpFlow(peer, host+":80")
			go r.TCP(f)
			<-f.ch
		}
		w.kill("172.24.0.9", true)
		for i := range 2000 {
			go r.TCP(tcpFlow(peer, fmt.Sprintf("172.24.0.9:%d", 80+i%2))) // one port proven, one new
		}
		synctest.Wait()
		if dials(r) != 256+32 {
			t.Errorf("%d dialling, want a quarter of 1024 to the proven port and 32 to the other", dials(r))
		}
		for _, dst := range []string{"172.24.0.10:80", "172.24.0.11:80"} {
			f := tcpFlow(peer, dst)
			go r.TCP(f)
			if got := <-f.ch; got != "accept" {
				t.Errorf("%s: %s", dst, got)
			}
		}
	})
}

func TestADeadTargetIsRememberedForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		r, stop := running(t, Config{Advertisements: ads(t, "172.24.0.0/24"), Dial: w.dial})
		defer stop()
		try := func(dst string) string {
			f := tcpFlow(peer, dst)
			f.client.Close()
			r.TCP(f)
			return <-f.ch
		}
		w.fail("172.24.0.9:80", errno(syscall.EHOSTUNREACH))
		for range 5 {
			if got := try("172.24.0.9:80"); got != "host unreachable" {
				t.Fatalf("verdict %s", got)
			}
		}
		if n := len(w.dialled()); n != 1 {
			t.Errorf("%d dials in one moment, want 1", n)
		}
		w.fail("172.24.0.9:80", nil)
		if got := try("172.24.0.9:81"); got != "accept" {
			t.Errorf("another port of the host: %s", got)
		}
		time.Sleep(2*time.Second + 1)
		if got := try("172.24.0.9:80"); got != "accept" {
			t.Errorf("after the target came back: %s", got)
		}
	})
}

func TestASuspectIsAskedByOneDialAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.kill("172.24.0.9", true)
		r, stop := running(t, Config{Advertisements: ads(t, "172.24.0.0/24"), Dial: w.dial})
		defer stop()
		r.TCP(tcpFlow(peer, "172.24.0.9:80"))
		time.Sleep(6 * time.Second)
		for range 50 {
			go r.TCP(tcpFlow(peer, "172.24.0.9:80"))
		}
		synctest.Wait()
		if s := r.Stats(); s.Dialing != 1 || s.Remembered != 49 {
			t.Errorf("%d dialling, %d from memory; want 1 and 49", s.Dialing, s.Remembered)
		}
	})
}

func TestConnectionsAtTheirLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		r, stop := running(t, Config{Advertisements: ads(t, "172.24.0.0/24"), Dial: w.dial, Limits: Limits{Conns: 3},
			PeerOf: func(a netip.Addr) string {
				return map[bool]string{true: "ada", false: "bob"}[a.String() != "100.64.0.9"]
			}})
		var held []*fakeTCP
		for i, src := range []string{peer, other, peer, other} { // two addresses, one peer
			f := tcpFlow(src, "172.24.0.10:80")
			go r.TCP(f)
			want := "accept"
			if i == 3 {
				want = "refuse"
			}
			if got := <-f.ch; got != want {
				t.Errorf("connection %d: %s, want %s", i, got, want)
			}
			held = append(held, f)
		}
		if lines := r.Problems(); len(lines) != 1 || !strings.HasSuffix(lines[0].String(), "ada has 3 connections, the most that one peer may have") {
			t.Errorf("trouble: %q", lines)
		}
		f := tcpFlow("100.64.0.9:1", "172.24.0.10:80")
		go r.TCP(f)
		if got := <-f.ch; got != "accept" {
			t.Errorf("another peer: %s", got)
		}
		held[0].client.Close()
		synctest.Wait()
		f = tcpFlow(peer, "172.24.0.10:80")
		go r.TCP(f)
		if got := <-f.ch; got != "accept" {
			t.Errorf("after one ended: %s", got)
		}
		stop()
	})
}

func TestOutOfDescriptorsIsLoggedOnce(t *testing.T) {
	w, log := newWorld(), new(bytes.Buffer)
	for i := range 20 {
		w.fail(fmt.Sprintf("172.24.0.%d:80", i), errno(syscall.EMFILE))
	}
	r, stop := running(t, Config{Advertisements: ads(t, "172.24.0.0/24"), Dial: w.dial,
		Logger: slog.New(slog.NewTextHandler(log, nil))})
	for i := range 20 {
		f := tcpFlow(peer, fmt.Sprintf("172.24.0.%d:80", i))
		r.TCP(f)
		if got := <-f.ch; got != "refuse" {
			t.Errorf("verdict %s", got)
		}
	}
	stop()
	if n := strings.Count(log.String(), "no socket left"); n != 1 {
		t.Errorf("%d lines about descriptors, want 1:\n%s", n, log)
	}
}

func TestWithdrawnPrefixEndsItsFlowsOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.kill("172.24.0.9", true)
		r, stop := running(t, Config{Advertisements: ads(t, "172.24.0.0/24", "172.28.0.0/24"), Dial: w.dial})
		gone, kept, dialling := tcpFlow(peer, "172.24.0.10:80"), tcpFlow(peer, "172.28.0.10:80"), tcpFlow(peer, "172.24.0.9:80")
		for _, f := range []*fakeTCP{gone, kept, dialling} {
			go r.TCP(f)
		}
		udp := udpFlow(peer, "172.24.0.10:53")
		r.UDP(udp)
		synctest.Wait()
		r.Set(ads(t, "172.28.0.0/24"))
		synctest.Wait()
		if _, err := gone.client.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("withdrawn connection: %v", err)
		}
		if got := <-dialling.ch; got != "drop" {
			t.Errorf("withdrawn dial: %s", got)
		}
		select {
		case <-udp.mine.closed:
		default:
			t.Error("withdrawn UDP flow is open")
		}
		if fl := r.Flows(); len(fl) != 1 || fl[0].Destination != kept.dst {
			t.Errorf("flows left: %+v", fl)
		}
		late := tcpFlow(peer, "172.24.0.10:80")
		r.TCP(late)
		if got := <-late.ch; got != "prohibited" {
			t.Errorf("after the withdrawal: %s", got)
		}
		r.Set(ads(t, "172.28.0.0/24=10.0.0.0/24")) // the same prefix, elsewhere now
		synctest.Wait()
		if fl := r.Flows(); len(fl) != 0 {
			t.Errorf("a flow goes on to where its prefix no longer leads: %+v", fl)
		}
		stop()
	})
}

func TestFlowsOutsideRunAreDropped(t *testing.T) {
	leak.Check(t)
	w := newWorld()
	r, err := New(Config{Advertisements: ads(t, "172.24.0.0/24"), Dial: w.dial, Ping: noPing})
	if err != nil {
		t.Fatal(err)
	}
	all := func(when string) {
		f, u, e := tcpFlow(peer, "172.24.0.10:80"), udpFlow(peer, "172.24.0.10:80"), echoTo("100.64.0.2", "172.24.0.10")
		r.TCP(f)
		r.UDP(u)
		r.Echo(e)
		for _, s := range []*said{f.said, u.said, e.said} {
			if got := <-s.ch; got != "drop" {
				t.Errorf("%s Run: %s", when, got)
			}
		}
	}
	all("before")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := r.Run(ctx); err != nil {
		t.Fatal(err)
	}
	all("after")
	if err := r.Run(ctx); err == nil {
		t.Error("a second Run is possible")
	}
	if len(w.dialled()) != 0 {
		t.Errorf("dialled %v", w.dialled())
	}
}

// tcpPair is a connected pair of real sockets.
func tcpPair(t *testing.T) (a, b *net.TCPConn) {
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
	s, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return c.(*net.TCPConn), s.(*net.TCPConn)
}

// loopback maps 10.99.0.1 of the mesh to this host's 127.0.0.1.
func loopback(t *testing.T) Config {
	allow, err := ParseAllow("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	return Config{Advertisements: ads(t, "10.99.0.1/32=127.0.0.1/32"), AllowLocal: []Allow{allow}}
}

func TestHalfCloseBothWaysOverRealSockets(t *testing.T) {
	leak.Check(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() { // reads all, then answers with what it read, twice
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		b, _ := io.ReadAll(c)
		c.Write(b)
		c.Write(b)
	}()
	r, stop := running(t, loopback(t))
	f := tcpFlow(peer, fmt.Sprintf("10.99.0.1:%d", ln.Addr().(*net.TCPAddr).Port))
	client, mine := tcpPair(t)
	f.mine = mine
	done := make(chan struct{})
	go func() { r.TCP(f); close(done) }()
	want := bytes.Repeat([]byte("half-close "), 100000)
	go func() { client.Write(want); client.CloseWrite() }()
	got, err := io.ReadAll(client)
	if err != nil || !bytes.Equal(got, slices.Concat(want, want)) {
		t.Errorf("%d bytes back, %v; want %d", len(got), err, 2*len(want))
	}
	client.Close()
	<-done
	if s := r.Stats(); s.ToTarget != uint64(len(want)) || s.ToClient != uint64(2*len(want)) {
		t.Errorf("bytes counted: %d, %d", s.ToTarget, s.ToClient)
	}
	stop()
}

func TestAResetOfTheTargetIsAResetForTheClient(t *testing.T) {
	leak.Check(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		c.Write([]byte("half of the story"))
		io.ReadFull(c, make([]byte, 2))
		splice.Abort(c)
	}()
	r, stop := running(t, loopback(t))
	f := tcpFlow(peer, fmt.Sprintf("10.99.0.1:%d", ln.Addr().(*net.TCPAddr).Port))
	client, mine := tcpPair(t)
	defer client.Close()
	f.mine = mine
	go r.TCP(f)
	client.Write([]byte("go"))
	if _, err := io.ReadAll(client); !isReset(err) {
		t.Errorf("a cut answer ended with %v, want a reset", err)
	}
	stop()
}

func isReset(err error) bool { return err != nil && strings.Contains(err.Error(), "reset") }

func TestClosedPortOfThisHostIsRefused(t *testing.T) {
	leak.Check(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := ln.Addr().(*net.TCPAddr).Port
	ln.Close()
	r, stop := running(t, loopback(t))
	f := tcpFlow(peer, fmt.Sprintf("10.99.0.1:%d", port))
	r.TCP(f)
	if got := <-f.ch; got != "refuse" {
		t.Errorf("verdict %s", got)
	}
	stop()
}

func TestAClientLostBeforeItsAnswerFreesTheSocket(t *testing.T) {
	w := newWorld()
	r, stop := running(t, Config{Advertisements: ads(t, "172.24.0.0/24"), Dial: w.dial})
	f := tcpFlow(peer, "172.24.0.10:80")
	f.acceptNo = errno(syscall.ECONNRESET)
	r.TCP(f)
	if _, err := (<-w.served).Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the target's side: %v", err)
	}
	stop()
}

// keptConn reports when its keepalive is set.
type keptConn struct {
	net.Conn
	kept chan net.KeepAliveConfig
}

func (c keptConn) SetKeepAliveConfig(k net.KeepAliveConfig) error { c.kept <- k; return nil }

func TestATargetIsKeptAliveOnceItLives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kept := make(chan net.KeepAliveConfig, 9)
		r, stop := running(t, Config{Advertisements: ads(t, "172.24.0.0/24"), Dial: func(context.Context, string, string) (net.Conn, error) {
			c, _ := net.Pipe()
			return keptConn{c, kept}, nil
		}})
		defer stop()
		short, long := tcpFlow(peer, "172.24.0.10:80"), tcpFlow(peer, "172.24.0.11:80")
		r.TCP(short)
		r.TCP(long)
		short.client.Close()
		time.Sleep(keepAliveAfter - 1)
		if len(kept) != 0 {
			t.Error("keepalive is set at once")
		}
		time.Sleep(time.Second)
		if len(kept) != 1 || !(<-kept).Enable {
			t.Errorf("keepalive was set %d times, want once, for the one that lives", len(kept))
		}
	})
}
