package proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeMesh is the network behind the proxy under test: it maps addresses to results. Addresses in
// none of its maps do not exist.
type fakeMesh struct {
	hosts  map[string]string // address → real address on loopback
	errors map[string]error  // address → what a dial of it fails with
	silent map[string]bool   // address → a dial of it hangs until ctx ends

	mu       sync.Mutex
	dialed   []string
	canceled chan string // silent addresses whose dial was given up
}

func newMesh() *fakeMesh {
	return &fakeMesh{hosts: map[string]string{}, errors: map[string]error{}, silent: map[string]bool{}, canceled: make(chan string, 100)}
}

func (m *fakeMesh) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	m.mu.Lock()
	m.dialed = append(m.dialed, address)
	m.mu.Unlock()
	if network != "tcp" {
		return nil, errors.New("network is " + network)
	}
	if m.silent[address] {
		<-ctx.Done()
		m.canceled <- address
		return nil, ctx.Err()
	}
	if err := m.errors[address]; err != nil {
		return nil, err
	}
	real, ok := m.hosts[address]
	if !ok {
		return nil, errors.New("test: nobody is at " + address)
	}
	var d net.Dialer
	return d.DialContext(ctx, network, real)
}

func (m *fakeMesh) lastDialed() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.dialed) == 0 {
		return ""
	}
	return m.dialed[len(m.dialed)-1]
}

// server adds a server to the mesh. handle gets each connection, which is closed afterwards.
func (m *fakeMesh) server(t testing.TB, address string, handle func(*net.TCPConn)) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m.hosts[address] = ln.Addr().String()
	var wg sync.WaitGroup
	conns := map[net.Conn]bool{}
	var mu sync.Mutex
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns[c] = true
			mu.Unlock()
			wg.Go(func() {
				handle(c.(*net.TCPConn))
				c.Close()
				mu.Lock()
				delete(conns, c)
				mu.Unlock()
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		mu.Lock()
		for c := range conns {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
}

// echo copies without io.Copy, which would use pipes and so descriptors.
func echo(c *net.TCPConn) {
	buf := make([]byte, 4<<10)
	for {
		n, err := c.Read(buf)
		if _, werr := c.Write(buf[:n]); err != nil || werr != nil {
			return
		}
	}
}

// running is a proxy that serves on loopback.
type running struct {
	*Proxy
	addr string
	log  *lockedBuffer
	stop func() error // ends Serve and returns its result; once is enough
}

// run starts a proxy in front of m. It is stopped with the test.
func run(t testing.TB, m *fakeMesh, change func(*Config)) *running {
	t.Helper()
	logs := &lockedBuffer{}
	cfg := Config{Dial: m.Dial, Logger: textLogger(logs)}
	if change != nil {
		change(&cfg)
	}
	p, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Serve(ctx, ln) }()
	r := &running{Proxy: p, addr: ln.Addr().String(), log: logs}
	r.stop = sync.OnceValue(func() error {
		cancel()
		select {
		case err := <-done:
			return err
		case <-time.After(5 * time.Second):
			return errors.New("Serve did not return")
		}
	})
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return r
}

// dial connects a client to the proxy.
func (r *running) dial(t testing.TB) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(20 * time.Second))
	t.Cleanup(func() { c.Close() })
	return c.(*net.TCPConn)
}

// hello is a SOCKS5 greeting without authentication, and helloOK its answer.
const (
	hello   = "\x05\x01\x00"
	helloOK = "\x05\x00"
)

// connectTo is a SOCKS5 request for a name.
func connectTo(name string, port int) string {
	return "\x05\x01\x00\x03" + string([]byte{byte(len(name))}) + name + string([]byte{byte(port >> 8), byte(port)})
}

// socksTo opens a connection through SOCKS5 to a name on port 7.
func (r *running) socksTo(t testing.TB, name string) *net.TCPConn {
	t.Helper()
	c := r.dial(t)
	say(t, c, hello+connectTo(name, 7))
	hear(t, c, helloOK)
	var reply [10]byte
	if _, err := io.ReadFull(c, reply[:]); err != nil || reply[1] != 0 {
		t.Fatalf("reply %x, %v", reply, err)
	}
	return c
}

func say(t testing.TB, c net.Conn, s string) {
	t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		t.Fatalf("write %q: %v", s, err)
	}
}

func hear(t testing.TB, c net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Fatalf("read %q, %v; want %q", got[:n], err, want)
	}
}

func hearEOF(t testing.TB, c net.Conn) {
	t.Helper()
	if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Fatalf("read %d bytes, %v; want EOF", n, err)
	}
}

// lockedBuffer collects log lines.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) count(s string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Count(b.b.String(), s)
}
func textLogger(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// openFiles counts the descriptors of this process, where the system permits.
func openFiles(t testing.TB) int {
	t.Helper()
	dir, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(dir)
}

// pipeTo serves one client with a new proxy and returns the client's end of the connection. It is
// for tests in a synctest bubble, where sockets would stop the clock.
func pipeTo(t testing.TB, cfg Config) net.Conn {
	t.Helper()
	p, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := net.Pipe()
	ln := &oneListener{conn: make(chan net.Conn, 1), closed: make(chan struct{})}
	ln.conn <- theirs
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Serve(ctx, ln) }()
	t.Cleanup(func() {
		ours.Close()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return ours
}
