package forward

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"nexd/internal/eventually"
	"nexd/internal/leak"
	"nexd/mesh"
)

// fakeMesh is a mesh whose nodes are sockets on loopback.
type fakeMesh struct {
	mu    sync.Mutex
	names map[string]string // HOST:PORT as dialled → loopback address
	errs  map[string]error
	ports map[string]string // address as listened on → loopback address
}

func newMesh() *fakeMesh {
	return &fakeMesh{names: map[string]string{}, errs: map[string]error{}, ports: map[string]string{}}
}

func (m *fakeMesh) dial(ctx context.Context, network, address string) (net.Conn, error) {
	m.mu.Lock()
	to, err := m.names[address], m.errs[address]
	m.mu.Unlock()
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	if to == "" {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return (&net.Dialer{}).DialContext(ctx, network, to)
}

func (m *fakeMesh) listen(_ context.Context, network, address string) (net.Listener, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err == nil {
		m.ports[network+" "+address] = ln.Addr().String()
	}
	return ln, err
}

func (m *fakeMesh) listenPacket(_ context.Context, network, address string) (net.PacketConn, error) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err == nil {
		m.mu.Lock()
		m.ports[network+" "+address] = pc.LocalAddr().String()
		m.mu.Unlock()
	}
	return struct{ net.PacketConn }{pc}, err // hides what netstack may not have either
}

func (m *fakeMesh) config() Config {
	return Config{DialMesh: m.dial, ListenMesh: m.listen, ListenPacketMesh: m.listenPacket}
}

func specs(t testing.TB, all ...string) (out []Spec) {
	t.Helper()
	for _, s := range all {
		d := Local
		if rest, ok := strings.CutPrefix(s, "-R "); ok {
			d, s = Remote, rest
		}
		spec, err := parse(d, s)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, spec)
	}
	return out
}

func running(t testing.TB, cfg Config, rules ...string) (f *Forwarder, stop func()) {
	t.Helper()
	f, err := New(cfg, specs(t, rules...))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	<-f.Ready()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("Run = %v", err)
			}
		})
	}
	t.Cleanup(stop)
	return f, stop
}

// doubler is a TCP server that reads until EOF and sends twice what it has read.
func doubler(t testing.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				b, _ := io.ReadAll(c)
				c.Write(b)
				c.Write(b)
			}()
		}
	}()
	return ln.Addr().String()
}

func exchange(t *testing.T, addr string, size int) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Error(err)
		return
	}
	defer c.Close()
	want := bytes.Repeat([]byte("forward "), size/8)
	go func() { c.Write(want); c.(*net.TCPConn).CloseWrite() }()
	got, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(got, slices.Concat(want, want)) {
		t.Errorf("through %s: %d bytes back, %v; want %d", addr, len(got), err, 2*len(want))
	}
}

func TestLocalForwardKeepsHalfClose(t *testing.T) {
	leak.Check(t)
	m := newMesh()
	m.names["node1:80"] = doubler(t)
	f, stop := running(t, m.config(), "0:node1:80")
	st := f.Status()[0]
	for _, size := range []int{0, 8, 1 << 20} {
		exchange(t, st.Listening[0], size)
	}
	eventually.True(t, "connections gone", func() bool { return f.Status()[0].Active == 0 })
	if st := f.Status()[0]; st.Total != 3 || st.Sent != 1<<20+8 || st.Received != 2*(1<<20+8) || st.LastError != "" || st.Direction != "local" {
		t.Errorf("status %+v", st)
	}
	stop()
}

// fakeListener only has an address.
type fakeListener struct {
	net.Listener
	at string
}

func (l fakeListener) Addr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(l.at))
}

func TestARemoteForwardShowsTheMeshAddresses(t *testing.T) {
	s := &sockets{tcp: []stream{{Listener: fakeListener{at: "0.0.0.0:9400"}}, {Listener: fakeListener{at: "[::]:9400"}}, {Listener: fakeListener{at: "100.64.0.9:9400"}}}}
	own := func() []netip.Addr {
		return []netip.Addr{netip.MustParseAddr("100.64.0.1"), netip.MustParseAddr("fd74::1")}
	}
	plain := []string{"0.0.0.0:9400", "[::]:9400", "100.64.0.9:9400"}
	for _, tt := range []struct {
		direction Direction
		own       func() []netip.Addr
		want      []string
	}{
		{Remote, own, []string{"100.64.0.1:9400", "[fd74::1]:9400", "100.64.0.9:9400"}},
		{Remote, func() []netip.Addr { return nil }, plain},
		{Remote, nil, plain},
		{Local, own, plain},
	} {
		r := newRule(Config{MeshAddresses: tt.own}, Spec{Direction: tt.direction})
		if got := r.shown(s); !slices.Equal(got, tt.want) {
			t.Errorf("%v: shows %q, want %q", tt.direction, got, tt.want)
		}
	}
}

func TestRemoteForwardListensOnTheMesh(t *testing.T) {
	leak.Check(t)
	m := newMesh()
	f, stop := running(t, m.config(), "-R 8080:"+doubler(t))
	exchange(t, m.ports["tcp4 0.0.0.0:8080"], 1<<16)
	exchange(t, m.ports["tcp6 [::]:8080"], 1<<16)
	if st := f.Status()[0]; st.Direction != "remote" || len(st.Listening) != 2 || st.Total != 2 {
		t.Errorf("status %+v", st)
	}
	stop()
}

// connectAndRead returns the error that a client gets. A fast reset may reach the client while it
// still connects.
func connectAndRead(addr string) error {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = io.ReadAll(c)
	return err
}

func TestAnUnreachableTargetIsAReset(t *testing.T) {
	leak.Check(t)
	m := newMesh()
	m.errs["node1:80"] = syscall.ECONNREFUSED
	cfg := m.config()
	cfg.DialTimeout = 50 * time.Millisecond
	f, stop := running(t, cfg, "0:node1:80", "0:dead:80")
	for i, want := range []string{"connection refused", "deadline exceeded"} {
		if err := connectAndRead(f.Status()[i].Listening[0]); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("rule %d: client sees %v, want a reset", i, err)
		}
		eventually.True(t, "connection gone", func() bool { return f.Status()[i].Active == 0 })
		if st := f.Status()[i]; !strings.Contains(st.LastError, want) || !strings.Contains(st.LastError, ":80") || st.ErrorAt.IsZero() {
			t.Errorf("status %+v, want an error with %q", st, want)
		}
	}
	stop()
}

func TestARuleThatCannotListenFailsAlone(t *testing.T) {
	leak.Check(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := taken.Addr().(*net.TCPAddr).Port
	m := newMesh()
	m.names["node1:80"] = doubler(t)
	cfg := m.config()
	cfg.Retry = 10 * time.Millisecond
	f, stop := running(t, cfg, fmt.Sprintf("%d:node1:80", port), "0:node1:80")
	st := f.Status()
	if len(st[0].Listening) != 0 || !strings.Contains(st[0].LastError, "address already in use") || !strings.Contains(st[0].LastError, fmt.Sprintf("%d:node1:80", port)) {
		t.Errorf("status of the failed rule: %+v", st[0])
	}
	exchange(t, st[1].Listening[0], 8)
	if err := f.Add(context.Background(), specs(t, fmt.Sprintf("%d:node1:81", port))[0]); mesh.KindOf(err) != mesh.Conflict {
		t.Errorf("Add on a taken port: %v", err)
	}
	if n := len(f.Status()); n != 2 {
		t.Errorf("%d rules, want 2: what cannot be added is not kept", n)
	}
	taken.Close()
	eventually.True(t, "the rule listens once it can", func() bool { return len(f.Status()[0].Listening) == 1 })
	exchange(t, f.Status()[0].Listening[0], 8)
	stop()
}

func TestAddAndRemoveWhileRunning(t *testing.T) {
	leak.Check(t)
	m := newMesh()
	m.names["node1:80"] = doubler(t)
	f, stop := running(t, m.config(), "0:node1:80")
	ctx := context.Background()
	more := specs(t, "127.0.0.2:0:node1:80", "-R 9:127.0.0.1:1")
	for _, s := range more {
		if err := f.Add(ctx, s); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Add(ctx, more[0]); mesh.KindOf(err) != mesh.Conflict {
		t.Errorf("the same again: %v", err)
	}
	addr := f.Status()[1].Listening[0]
	open, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	eventually.True(t, "connected", func() bool { return f.Status()[1].Active == 1 })
	if err := f.Remove(more[0]); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(open); err == nil {
		t.Error("a removed rule's connection ended as if it were complete")
	}
	if c, err := net.Dial("tcp", addr); err == nil {
		c.Close()
		t.Error("a removed rule still listens")
	}
	if err := f.Remove(more[0]); mesh.KindOf(err) != mesh.NotFound {
		t.Errorf("removed twice: %v", err)
	}
	if st := f.Status(); len(st) != 2 || st[1].Direction != "remote" {
		t.Errorf("status %+v", st)
	}
	exchange(t, f.Status()[0].Listening[0], 8)
	stop()
	if err := f.Add(ctx, more[0]); mesh.KindOf(err) != mesh.Unavailable {
		t.Errorf("Add after Run: %v", err)
	}
	if err := f.Remove(more[1]); err != nil {
		t.Errorf("Remove after Run: %v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	m := newMesh()
	good := specs(t, "80:h:80")[0]
	for _, tt := range []struct {
		cfg   Config
		specs []Spec
		kind  mesh.Kind
	}{
		{Config{}, nil, mesh.Invalid},
		{m.config(), []Spec{{}}, mesh.Invalid},
		{m.config(), []Spec{good, good}, mesh.Conflict},
	} {
		if _, err := New(tt.cfg, tt.specs); mesh.KindOf(err) != tt.kind {
			t.Errorf("New = %v, want %v", err, tt.kind)
		}
	}
	f, err := New(m.config(), []Spec{good})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Add(context.Background(), specs(t, "81:h:80")[0]); mesh.KindOf(err) != mesh.Unavailable {
		t.Errorf("Add before Run: %v", err)
	}
	if err := f.Remove(good); err != nil || len(f.Status()) != 0 {
		t.Errorf("Remove before Run: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := f.Run(ctx); err != nil {
		t.Error(err)
	}
	if err := f.Run(ctx); mesh.KindOf(err) != mesh.Conflict {
		t.Errorf("second Run: %v", err)
	}
}

// A rule that Want adds while its port is in use waits for the port, like those of New.
func TestAWantedRuleWaitsForItsPort(t *testing.T) {
	leak.Check(t)
	m := newMesh()
	m.names["node1:80"] = doubler(t)
	cfg := m.config()
	cfg.Retry = time.Millisecond
	f, stop := running(t, cfg)
	holder, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := holder.Addr().String()
	_, port, _ := net.SplitHostPort(addr)
	rule := specs(t, port+":node1:80")[0]
	if err := f.Add(t.Context(), rule); mesh.KindOf(err) != mesh.Conflict || len(f.Status()) != 0 {
		t.Errorf("Add: %v, %+v", err, f.Status())
	}
	if err := f.Want(t.Context(), rule); err != nil {
		t.Fatal(err)
	}
	if st := f.Status(); len(st) != 1 || len(st[0].Listening) != 0 || !strings.Contains(st[0].LastError, addr) {
		t.Errorf("status %+v", st)
	}
	holder.Close()
	eventually.True(t, "it listens", func() bool { return len(f.Status()[0].Listening) == 1 })
	exchange(t, addr, 8)
	if err := f.Remove(rule); err != nil {
		t.Error(err)
	}
	stop()
}

func TestConnectionsAtTheirLimit(t *testing.T) {
	leak.Check(t)
	m := newMesh()
	m.names["node1:80"] = doubler(t)
	cfg := m.config()
	cfg.MaxConns = 2
	f, stop := running(t, cfg, "0:node1:80")
	var held []net.Conn
	for i := range 2 {
		c, err := net.Dial("tcp", f.Status()[0].Listening[0])
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		held = append(held, c)
		eventually.True(t, "counted", func() bool { return int(f.Status()[0].Total) == i+1 })
	}
	if err := connectAndRead(f.Status()[0].Listening[0]); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the one too many: %v, want a reset", err)
	}
	if st := f.Status()[0]; st.Refused != 1 || st.Active != 2 || !strings.Contains(st.LastError, "the limit of 2 connections is reached") {
		t.Errorf("status %+v", st)
	}
	held[0].Write([]byte("x"))
	held[0].(*net.TCPConn).CloseWrite()
	if b, err := io.ReadAll(held[0]); string(b) != "xx" || err != nil {
		t.Errorf("an old one: %q, %v", b, err)
	}
	stop()
}

// flaky is a listener whose Accept fails a few times first.
type flaky struct {
	net.Listener
	mu   sync.Mutex
	left int
	err  error
}

func (l *flaky) Accept() (net.Conn, error) {
	l.mu.Lock()
	l.left--
	fail := l.left >= 0
	l.mu.Unlock()
	if fail {
		return nil, &net.OpError{Op: "accept", Err: l.err}
	}
	return l.Listener.Accept()
}

func TestAcceptingPausesAndResumes(t *testing.T) {
	leak.Check(t)
	m := newMesh()
	m.names["node1:80"] = doubler(t)
	cfg := m.config()
	cfg.ListenHost = func(_ context.Context, network, address string) (net.Listener, error) {
		ln, err := net.Listen(network, address)
		return &flaky{Listener: ln, left: 3, err: syscall.EMFILE}, err
	}
	f, stop := running(t, cfg, "0:node1:80")
	exchange(t, f.Status()[0].Listening[0], 8)
	if st := f.Status()[0]; !strings.Contains(st.LastError, syscall.EMFILE.Error()) {
		t.Errorf("status %+v", st)
	}
	stop()
}

func TestABrokenListenerIsOpenedAgain(t *testing.T) {
	leak.Check(t)
	m := newMesh()
	m.names["node1:80"] = doubler(t)
	cfg := m.config()
	cfg.Retry = time.Millisecond
	var opened atomic.Int32
	cfg.ListenHost = func(_ context.Context, network, address string) (net.Listener, error) {
		ln, err := net.Listen(network, address)
		if opened.Add(1) == 1 {
			return &flaky{Listener: ln, left: 1, err: net.ErrClosed}, err
		}
		return ln, err
	}
	f, stop := running(t, cfg, "0:node1:80")
	eventually.True(t, "opened again", func() bool {
		return opened.Load() == 2 && len(f.Status()[0].Listening) == 1
	})
	exchange(t, f.Status()[0].Listening[0], 8)
	stop()
}

// A program on this host reaches node1's web server through port 8080.
func Example() {
	node1, _ := net.Listen("tcp", "127.0.0.1:0")
	defer node1.Close()
	go func() {
		c, _ := node1.Accept()
		fmt.Fprint(c, "hello from node1")
		c.Close()
	}()
	spec, _ := ParseLocal("0:node1:80")
	m := newMesh() // netstack, in earnest
	m.names["node1:80"] = node1.Addr().String()
	f, _ := New(m.config(), []Spec{spec})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- f.Run(ctx) }()
	<-f.Ready()

	c, _ := net.Dial("tcp", f.Status()[0].Listening[0])
	b, _ := io.ReadAll(c)
	fmt.Println(string(b))
	cancel()
	fmt.Println("run", <-done)
	_, err := ParseRemote("8080:fd00::1:80")
	fmt.Println(err)
	// Output:
	// hello from node1
	// run <nil>
	// forward: -R "8080:fd00::1:80": found 5 fields, expected PORT:HOST:HOSTPORT; an IPv6 address needs brackets, as in [fd00::1]
}
