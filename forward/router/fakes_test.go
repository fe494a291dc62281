package router

import (
	"context"
	"io"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"time"

	"nexd/internal/eventually"
	"nexd/mesh"
)

// said records the answer to a flow.
type said struct {
	ch chan string
	mu sync.Mutex
	n  int
}

func newSaid() *said { return &said{ch: make(chan string, 8)} }

func (s *said) say(v string) {
	s.mu.Lock()
	s.n++
	s.mu.Unlock()
	s.ch <- v
}

func (s *said) count() int { s.mu.Lock(); defer s.mu.Unlock(); return s.n }

func (s *said) Refuse()             { s.say("refuse") }
func (s *said) Unreachable(r Reach) { s.say(r.String()) }
func (s *said) Drop()               { s.say("drop") }

// fakeTCP is a TCPFlow; Accept gives one end of a pair, client is the other.
type fakeTCP struct {
	*said
	src, dst netip.AddrPort
	gone     chan struct{}
	client   net.Conn // what the mesh client holds
	mine     net.Conn // what Accept returns
	acceptNo error
}

func (f *fakeTCP) Source() netip.AddrPort      { return f.src }
func (f *fakeTCP) Destination() netip.AddrPort { return f.dst }
func (f *fakeTCP) Done() <-chan struct{}       { return f.gone }
func (f *fakeTCP) Accept(context.Context) (net.Conn, error) {
	f.say("accept")
	return f.mine, f.acceptNo
}

func tcpFlow(src, dst string) *fakeTCP {
	client, mine := net.Pipe()
	return &fakeTCP{said: newSaid(), src: ap(src), dst: ap(dst), gone: make(chan struct{}), client: client, mine: mine}
}

// fakeUDP is a UDPFlow over message pipes.
type fakeUDP struct {
	*said
	src, dst netip.AddrPort
	client   *messages
	mine     *messages
}

func (f *fakeUDP) Source() netip.AddrPort      { return f.src }
func (f *fakeUDP) Destination() netip.AddrPort { return f.dst }
func (f *fakeUDP) Accept() (net.Conn, error)   { f.say("accept"); return f.mine, nil }

func udpFlow(src, dst string) *fakeUDP {
	client, mine := messagePair()
	return &fakeUDP{said: newSaid(), src: ap(src), dst: ap(dst), client: client, mine: mine}
}

// messages is a conn that preserves datagrams, and records ICMP errors.
type messages struct {
	in, out chan []byte
	closed  chan struct{}
	once    sync.Once
	heard   chan string
}

func messagePair() (a, b *messages) {
	x, y := make(chan []byte, 64), make(chan []byte, 64)
	heard := make(chan string, 8)
	return &messages{in: x, out: y, closed: make(chan struct{}), heard: heard},
		&messages{in: y, out: x, closed: make(chan struct{}), heard: heard}
}

func (m *messages) Read(p []byte) (int, error) {
	select {
	case b := <-m.in:
		return copy(p, b), nil
	case <-m.closed:
		return 0, net.ErrClosed
	}
}

func (m *messages) Write(p []byte) (int, error) {
	select {
	case m.out <- append([]byte(nil), p...):
		return len(p), nil
	case <-m.closed:
		return 0, net.ErrClosed
	}
}

func (m *messages) Close() error                     { m.once.Do(func() { close(m.closed) }); return nil }
func (m *messages) LocalAddr() net.Addr              { return &net.UDPAddr{} }
func (m *messages) RemoteAddr() net.Addr             { return &net.UDPAddr{} }
func (m *messages) SetDeadline(time.Time) error      { return nil }
func (m *messages) SetReadDeadline(time.Time) error  { return nil }
func (m *messages) SetWriteDeadline(time.Time) error { return nil }
func (m *messages) PortUnreachable()                 { m.heard <- "port" }
func (m *messages) HostUnreachable()                 { m.heard <- "host" }

// fakeEcho is an echo request.
type fakeEcho struct {
	*said
	src, dst netip.Addr
	seq      uint16
	payload  []byte
}

func (f *fakeEcho) Source() netip.Addr      { return f.src }
func (f *fakeEcho) Destination() netip.Addr { return f.dst }
func (f *fakeEcho) Seq() uint16             { return f.seq }
func (f *fakeEcho) Payload() []byte         { return f.payload }
func (f *fakeEcho) Reply()                  { f.say("reply") }

func echoTo(src, dst string) *fakeEcho {
	return &fakeEcho{said: newSaid(), src: netip.MustParseAddr(src), dst: netip.MustParseAddr(dst), seq: 3, payload: []byte("abc")}
}

func ap(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

func ads(t testing.TB, specs ...string) (out []mesh.Advertisement) {
	t.Helper()
	for _, s := range specs {
		a, err := mesh.ParseAdvertisement(s)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, a)
	}
	return out
}

func noPing(context.Context, netip.Addr, uint16, []byte) error { return context.DeadlineExceeded }

// running makes a router, runs it and returns a function that ends it and waits.
func running(t testing.TB, cfg Config) (r *Router, stop func()) {
	t.Helper()
	if cfg.Ping == nil {
		cfg.Ping = noPing
	}
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	eventually.True(t, "the router runs", r.isRunning)
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
	return r, stop
}

func (r *Router) isRunning() bool {
	r.flows.mu.Lock()
	defer r.flows.mu.Unlock()
	return r.flows.running
}

// world is a fake of the host's network.
type world struct {
	mu     sync.Mutex
	dials  []string
	errs   map[string]error // by address, or by network
	dead   map[string]bool  // by host: dials wait for their context
	served chan net.Conn    // the far end of what was dialled
}

func newWorld() *world {
	return &world{errs: map[string]error{}, dead: map[string]bool{}, served: make(chan net.Conn, 1024)}
}

func (w *world) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, _ := net.SplitHostPort(address)
	w.mu.Lock()
	w.dials = append(w.dials, network+" "+address)
	err, dead := w.errs[address], w.dead[host]
	w.mu.Unlock()
	switch {
	case err != nil:
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	case dead:
		<-ctx.Done()
		return nil, &net.OpError{Op: "dial", Net: network, Err: ctx.Err()}
	case network == "udp":
		near, far := messagePair()
		w.served <- far
		return near, nil
	}
	near, far := net.Pipe()
	w.served <- far
	return near, nil
}

func (w *world) dialled() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.dials...)
}

func (w *world) kill(host string, dead bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dead[host] = dead
}

func (w *world) fail(address string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil {
		delete(w.errs, address)
		return
	}
	w.errs[address] = err
}

func errno(e syscall.Errno) error { return &netSyscall{e} }

type netSyscall struct{ e syscall.Errno }

func (n *netSyscall) Error() string { return "connect: " + n.e.Error() }
func (n *netSyscall) Unwrap() error { return n.e }

var _ io.ReadWriteCloser = (*messages)(nil)
