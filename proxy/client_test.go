package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"nexd/internal/eventually"
	"nexd/internal/leak"
)

// asks are the requests for a connection to NAME:7.
var asks = map[string]func(name string) string{
	"SOCKS5": func(name string) string { return hello + connectTo(name, 7) },
	"HTTP":   func(name string) string { return fmt.Sprintf("CONNECT %s:7 HTTP/1.1\r\nHost: x\r\n\r\n", name) },
	"plain":  func(name string) string { return fmt.Sprintf("GET http://%s:7/ HTTP/1.1\r\nHost: x\r\n\r\n", name) },
	"POST": func(name string) string {
		return fmt.Sprintf("POST http://%s:7/ HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", name)
	},
}

func TestHangupCancelsTheDial(t *testing.T) {
	leak.Check(t)
	m := newMesh()
	m.silent["silent:7"] = true
	p := run(t, m, nil)
	for how, leave := range map[string]func(*net.TCPConn){
		"close": func(c *net.TCPConn) { c.Close() },
		"reset": func(c *net.TCPConn) { c.SetLinger(0); c.Close() },
	} {
		for name, ask := range asks {
			t.Run(name+" "+how, func(t *testing.T) {
				before := len(m.dialedSoFar())
				c := p.dial(t)
				say(t, c, ask("silent"))
				eventually.True(t, "the dial", func() bool { return len(m.dialedSoFar()) > before })
				leave(c)
				select {
				case <-m.canceled:
				case <-time.After(3 * time.Second):
					t.Fatal("the dial goes on")
				}
				eventually.True(t, "the client is gone", func() bool { return p.Stats().Active == 0 })
			})
		}
	}
	if n := p.Stats().Failed; n != 0 {
		t.Errorf("%d dials count as failed", n)
	}
}

func (m *fakeMesh) dialedSoFar() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]string(nil), m.dialed...)
}

// A reset is noticed even behind data that was sent ahead.
func TestResetBehindEarlyDataCancelsTheDial(t *testing.T) {
	leak.Check(t)
	m := newMesh()
	m.silent["silent:7"] = true
	p := run(t, m, nil)
	c := p.dial(t)
	say(t, c, hello+connectTo("silent", 7))
	hear(t, c, helloOK)
	say(t, c, "early")
	eventually.True(t, "the dial", func() bool { return m.lastDialed() != "" })
	c.SetLinger(0)
	c.Close()
	select {
	case <-m.canceled:
	case <-time.After(3 * time.Second):
		t.Fatal("the dial goes on")
	}
}

func TestHalfCloseBothWays(t *testing.T) {
	leak.Check(t)
	m := newMesh()
	m.server(t, "after:7", func(c *net.TCPConn) { // answers when the question is complete
		question, _ := io.ReadAll(c)
		fmt.Fprintf(c, "%d bytes", len(question))
	})
	m.server(t, "first:7", func(c *net.TCPConn) { // has nothing more to say, but listens
		io.WriteString(c, "banner")
		c.CloseWrite()
		rest, _ := io.ReadAll(c)
		m.canceled <- string(rest)
	})
	p := run(t, m, nil)
	for _, name := range []string{"SOCKS5", "HTTP"} {
		skip := map[string]int{"SOCKS5": 12, "HTTP": len("HTTP/1.1 200 Connection established\r\n\r\n")}[name]
		t.Run(name+" client first", func(t *testing.T) {
			c := p.dial(t)
			say(t, c, asks[name]("after"))
			io.CopyN(io.Discard, c, int64(skip))
			say(t, c, "question")
			c.CloseWrite()
			hear(t, c, "8 bytes")
			hearEOF(t, c)
		})
		t.Run(name+" server first", func(t *testing.T) {
			c := p.dial(t)
			say(t, c, asks[name]("first"))
			io.CopyN(io.Discard, c, int64(skip))
			hear(t, c, "banner")
			hearEOF(t, c)
			say(t, c, "still talking")
			c.CloseWrite()
			if got := <-m.canceled; got != "still talking" {
				t.Errorf("the server heard %q", got)
			}
		})
	}
}

func TestSlowClientsAreCut(t *testing.T) {
	leak.Check(t)
	p := run(t, newMesh(), func(c *Config) { c.HandshakeTimeout = 100 * time.Millisecond })
	for _, start := range []string{"", "\x05", hello, hello + "\x05\x01\x00\x03\xff", "\x04\x01", "GET http://x", "GET http://x/ HTTP/1.1\r\nHost: x\r\n"} {
		t.Run(fmt.Sprintf("%q", start), func(t *testing.T) {
			c := p.dial(t)
			begin := time.Now()
			say(t, c, start)
			io.Copy(io.Discard, c)
			if took := time.Since(begin); took > 8*time.Second {
				t.Errorf("cut after %v", took)
			}
		})
	}
	t.Run("a byte now and then does not help", func(t *testing.T) {
		c := p.dial(t)
		begin := time.Now()
		say(t, c, hello)
		var err error
		pace := time.NewTicker(20 * time.Millisecond)
		defer pace.Stop()
		for i := 0; i < 100 && err == nil; i++ {
			_, err = c.Write([]byte{5})
			<-pace.C
		}
		if err == nil {
			t.Errorf("the client could write for %v", time.Since(begin))
		}
	})
}

// The deadline of the handshake does not apply to the tunnel.
func TestTunnelsOutliveTheHandshakeTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dial := func(context.Context, string, string) (net.Conn, error) {
			here, there := net.Pipe()
			go func() { io.Copy(there, there); there.Close() }()
			return here, nil
		}
		socks, web := pipeTo(t, Config{Dial: dial}), pipeTo(t, Config{Dial: dial})
		say(t, socks, hello)
		hear(t, socks, helloOK)
		say(t, socks, connectTo("echo", 7))
		hear(t, socks, "\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
		say(t, web, asks["HTTP"]("echo"))
		hear(t, web, "HTTP/1.1 200 Connection established\r\n\r\n")
		time.Sleep(5 * DefaultHandshakeTimeout)
		for _, c := range []net.Conn{socks, web} {
			say(t, c, "still there")
			hear(t, c, "still there")
		}
	})
}

func TestIdleTunnelsAreCut(t *testing.T) {
	leak.Check(t)
	m := newMesh()
	m.server(t, "echo:7", echo)
	p := run(t, m, func(c *Config) { c.IdleTimeout = 50 * time.Millisecond })
	c := p.socksTo(t, "echo")
	say(t, c, "x")
	hear(t, c, "x")
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("read %v, want a reset", err)
	}
}

func TestTwoHundredResets(t *testing.T) {
	leak.Check(t)
	m := newMesh()
	m.server(t, "echo:7", echo)
	m.server(t, "resets:7", func(c *net.TCPConn) { c.Read(make([]byte, 1)); c.SetLinger(0); c.Close() })
	p := run(t, m, nil)
	files := openFiles(t)
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			name := [...]string{"echo", "resets"}[i%2]
			c := p.socksTo(t, name)
			say(t, c, "x")
			if name == "echo" {
				c.SetLinger(0)
				c.Close()
				return
			}
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("read %v, want a reset", err)
			}
			c.Close()
		})
	}
	begin := time.Now()
	other := p.socksTo(t, "echo")
	say(t, other, "x")
	hear(t, other, "x")
	if took := time.Since(begin); took > 30*time.Second { // a busy machine takes a second or two
		t.Errorf("another client waited %v", took)
	}
	other.Close()
	wg.Wait()
	eventually.True(t, "all clients gone", func() bool { return p.Stats().Active == 0 })
	eventually.True(t, fmt.Sprintf("back to %d files", files), func() bool { return openFiles(t) <= files })
	if s := p.Stats(); s.Accepted != 201 || s.Failed != 0 || p.log.count("level=WARN") != 0 {
		t.Errorf("Stats = %+v, %d warnings", s, p.log.count("level=WARN"))
	}
}

func TestTooManyClients(t *testing.T) {
	leak.Check(t)
	m := newMesh()
	m.server(t, "echo:7", echo)
	p := run(t, m, func(c *Config) { c.MaxConns = 2 })
	c1, c2 := p.socksTo(t, "echo"), p.dial(t)
	say(t, c2, asks["HTTP"]("echo"))
	hear(t, c2, "HTTP/1.1 200")
	for range 5 {
		c := p.dial(t)
		io.Copy(io.Discard, c) // closed at once
	}
	if s := p.Stats(); s.Refused != 5 || s.Active != 2 || s.Accepted != 2 {
		t.Errorf("Stats = %+v", s)
	}
	if n := p.log.count("proxy is at its limit"); n != 1 {
		t.Errorf("%d log lines, want 1", n)
	}
	c1.Close()
	eventually.True(t, "room again", func() bool { return p.Stats().Active == 1 })
	c3 := p.socksTo(t, "echo")
	say(t, c3, "x")
	hear(t, c3, "x")
}

// brokenListener fails each accept with the next of its errors; then it blocks
// until closed.
type brokenListener struct {
	errs   chan error
	closed chan struct{}
	once   sync.Once
	calls  atomic.Int32
}

func (l *brokenListener) Accept() (net.Conn, error) {
	l.calls.Add(1)
	select {
	case err := <-l.errs:
		return nil, &net.OpError{Op: "accept", Err: err}
	case <-l.closed:
		return nil, net.ErrClosed
	}
}
func (l *brokenListener) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l *brokenListener) Addr() net.Addr { return fakeAddr("broken") }

func TestShortageOfDescriptors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logs := &lockedBuffer{}
		p, _ := New(Config{Dial: newMesh().Dial, Logger: textLogger(logs)})
		ln := &brokenListener{errs: make(chan error, 100), closed: make(chan struct{})}
		for range 20 {
			ln.errs <- syscall.EMFILE
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- p.Serve(ctx, ln) }()
		time.Sleep(2 * time.Second)
		if n := ln.calls.Load(); n < 5 || n > 12 {
			t.Errorf("%d accepts in 2 s", n)
		}
		time.Sleep(30 * time.Second)
		if n := ln.calls.Load(); n != 21 || logs.count("proxy pauses accepting") != 1 {
			t.Errorf("%d accepts, %d log lines", n, logs.count("proxy pauses accepting"))
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve = %v", err)
		}
	})
}

func TestShortageEndsWithServe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := New(Config{Dial: newMesh().Dial})
		ln := &brokenListener{errs: make(chan error, 100), closed: make(chan struct{})}
		for range 100 {
			ln.errs <- syscall.ENFILE
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second+time.Millisecond)
		defer cancel()
		begin := time.Now()
		if err := p.Serve(ctx, ln); err != nil || time.Since(begin) > 10*time.Second+time.Millisecond {
			t.Errorf("Serve = %v after %v", err, time.Since(begin))
		}
	})
}

func TestBrokenListenerEndsServe(t *testing.T) {
	leak.Check(t)
	p, _ := New(Config{Dial: newMesh().Dial})
	ln := &brokenListener{errs: make(chan error, 2), closed: make(chan struct{})}
	ln.errs <- syscall.ECONNABORTED // one client's, passes
	ln.errs <- syscall.EINVAL
	if err := p.Serve(t.Context(), ln); !errors.Is(err, syscall.EINVAL) || !strings.Contains(err.Error(), "proxy: accept on broken") {
		t.Errorf("Serve = %v", err)
	}
}

func TestServeEndsWithLiveTransfers(t *testing.T) {
	leak.Check(t)
	m := newMesh()
	m.silent["silent:7"] = true
	m.server(t, "source:7", func(c *net.TCPConn) {
		go io.Copy(io.Discard, c)
		for {
			if _, err := c.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
	})
	m.server(t, "drip:7", func(c *net.TCPConn) { // an answer over HTTP without end
		io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
		pace := time.NewTicker(time.Millisecond)
		defer pace.Stop()
		for {
			if _, err := io.WriteString(c, "x"); err != nil {
				return
			}
			<-pace.C
		}
	})
	m.server(t, "mute:7", func(c *net.TCPConn) { io.Copy(io.Discard, c) })
	p := run(t, m, nil)
	var cut []*net.TCPConn
	for _, name := range []string{"SOCKS5", "HTTP"} {
		reading, blocked := p.dial(t), p.dial(t)
		say(t, reading, asks[name]("source"))
		say(t, blocked, asks[name]("source")) // never reads
		io.CopyN(io.Discard, reading, 1<<20)
		dialing := p.dial(t)
		say(t, dialing, asks[name]("silent"))
		cut = append(cut, reading, blocked, dialing)
	}
	for _, name := range []string{"drip", "mute", "silent"} { // plain HTTP in all stages
		for _, method := range []string{"plain", "POST"} {
			c := p.dial(t)
			say(t, c, asks[method](name))
			cut = append(cut, c)
		}
	}
	idle, half := p.dial(t), p.dial(t)
	say(t, half, hello)
	hear(t, half, helloOK)
	cut = append(cut, idle, half)
	eventually.True(t, "all are in", func() bool { return p.Stats().Active == int64(len(cut)) && len(m.dialedSoFar()) == 12 })
	begin := time.Now()
	if err := p.stop(); err != nil {
		t.Errorf("Serve = %v", err)
	}
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("Serve took %v to end", took)
	}
	if n := p.Stats().Active; n != 0 {
		t.Errorf("%d clients are still active", n)
	}
	for i, c := range cut {
		if _, err := io.Copy(io.Discard, c); i == 0 && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("a cut transfer ended with %v, want a reset", err)
		}
	}
}

func TestTwoListeners(t *testing.T) {
	leak.Check(t)
	m := newMesh()
	m.server(t, "echo:7", echo)
	p, _ := New(Config{Dial: m.Dial})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	for range 2 {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() { done <- p.Serve(ctx, ln) }()
		r := &running{Proxy: p, addr: ln.Addr().String()}
		c := r.socksTo(t, "echo")
		say(t, c, "x")
		hear(t, c, "x")
	}
	cancel()
	for range 2 {
		if err := <-done; err != nil {
			t.Errorf("Serve = %v", err)
		}
	}
	if s := p.Stats(); s.Accepted != 2 || s.Sent != 2 || s.Received != 2 {
		t.Errorf("Stats = %+v", s)
	}
}

// A thousand idle connections need little memory, and release all of it.
func TestThousandIdleConnections(t *testing.T) {
	if testing.Short() {
		t.Skip("short")
	}
	leak.Check(t)
	const n = 1000
	m := newMesh()
	m.server(t, "echo:7", echo)
	p := run(t, m, func(c *Config) { c.Logger = nil })
	for _, name := range []string{"SOCKS5", "HTTP"} {
		warm := p.dial(t) // what is made once
		say(t, warm, asks[name]("echo"))
		io.ReadFull(warm, make([]byte, 12))
		warm.Close()
	}
	eventually.True(t, "the first clients gone", func() bool { return p.Stats().Active == 0 })
	for _, name := range []string{"SOCKS5", "HTTP"} {
		t.Run(name, func(t *testing.T) {
			reply := map[string]int64{"SOCKS5": 12, "HTTP": int64(len("HTTP/1.1 200 Connection established\r\n\r\n"))}[name]
			before := usage(t)
			conns := make([]*net.TCPConn, n)
			for i := range conns {
				c, err := net.Dial("tcp", p.addr) // p.dial would remember it
				if err != nil {
					t.Fatal(err)
				}
				conns[i] = c.(*net.TCPConn)
				say(t, conns[i], asks[name]("echo")+"x")
				io.CopyN(io.Discard, conns[i], reply)
				hear(t, conns[i], "x")
			}
			during := usage(t)
			t.Logf("per idle connection, clients and servers included: %d bytes of heap, %d of stack, %.1f goroutines",
				(during.heap-before.heap)/n, (during.stack-before.stack)/n, float64(during.goroutines-before.goroutines)/n)
			// About 4 KiB, and twice that under the race detector; the smallest buffers of
			// both directions, held while idle, would add 8 KiB.
			if heap := (during.heap - before.heap) / n; heap > 12<<10 {
				t.Errorf("%d bytes of heap per connection", heap)
			}
			for _, c := range conns {
				c.Close()
			}
			eventually.True(t, "all gone", func() bool { return p.Stats().Active == 0 && runtime.NumGoroutine() <= before.goroutines+5 })
			clear(conns)
			after := usage(t)
			if after.fds > before.fds+5 || after.heap > before.heap+n*2000 {
				t.Errorf("not all came back: %+v, then %+v, then %+v", before, during, after)
			}
		})
	}
}

type used struct {
	heap, stack int64
	goroutines  int
	fds         int
}

func usage(t *testing.T) used {
	t.Helper()
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return used{int64(m.HeapAlloc), int64(m.StackInuse), runtime.NumGoroutine(), openFiles(t)}
}
