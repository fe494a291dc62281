package forward

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"nexd/internal/budget"
	"nexd/internal/splice"
	"nexd/internal/unixsock"
	"nexd/mesh"
)

// Config configures a Forwarder. DialMesh, ListenMesh and ListenPacketMesh are required; everything
// else has a default.
type Config struct {
	// DialMesh and DialHost open connections. Network is tcp or udp; address is HOST:PORT with a
	// name or a literal address. DialHost is also called with network unix and a path. A udp conn is
	// connected, and each Read returns one datagram. DialHost nil: the host's own sockets.
	DialMesh, DialHost func(ctx context.Context, network, address string) (net.Conn, error)

	// ListenMesh and ListenHost listen for TCP. Network is tcp4 or tcp6; address is a literal.
	// ListenHost is also called with network unix and a path. In the mesh, 0.0.0.0 and :: mean all
	// addresses of this node. ListenHost nil: the host's own sockets.
	ListenMesh, ListenHost func(ctx context.Context, network, address string) (net.Listener, error)

	// ListenPacketMesh and ListenPacketHost do the same for UDP; network is udp4 or udp6.
	ListenPacketMesh, ListenPacketHost func(ctx context.Context, network, address string) (net.PacketConn, error)

	// MeshAddresses returns this node's addresses, to show where a remote forward listens. Nil: the
	// forward shows 0.0.0.0 and [::].
	MeshAddresses func() []netip.Addr

	DialTimeout time.Duration // of a connection to a target: 15 s
	UDPIdle     time.Duration // until an idle UDP client is forgotten: 60 s
	HalfOpen    time.Duration // how long a half-closed connection may be idle: 1 h
	Retry       time.Duration // between attempts to listen: 5 s
	MaxConns    int           // TCP connections of a rule: 8192; one address beyond this host gets at most a third of them
	MaxClients  int           // UDP clients of a rule: 1024, likewise

	Budget *budget.Budget // memory that clients may take; nil: no limit
	Logger *slog.Logger   // nil: silent
}

func (c Config) withDefaults() (Config, error) {
	if c.DialMesh == nil || c.ListenMesh == nil || c.ListenPacketMesh == nil {
		return c, mesh.Errorf(mesh.Invalid, "forward: a function to dial or listen in the mesh is missing")
	}
	if c.DialTimeout < 0 || c.UDPIdle < 0 || c.HalfOpen < 0 || c.Retry < 0 || c.MaxConns < 0 || c.MaxClients < 0 {
		return c, mesh.Errorf(mesh.Invalid, "forward: a limit is negative")
	}
	host := &net.ListenConfig{}
	if c.DialHost == nil {
		c.DialHost = (&net.Dialer{KeepAliveConfig: splice.KeepAliveConfig}).DialContext
	}
	if c.ListenHost == nil {
		c.ListenHost = func(ctx context.Context, network, address string) (net.Listener, error) {
			if network == "unix" {
				return unixsock.Listen(address)
			}
			return host.Listen(ctx, network, address)
		}
	}
	if c.ListenPacketHost == nil {
		c.ListenPacketHost = host.ListenPacket
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	for _, d := range []struct {
		v   *time.Duration
		def time.Duration
	}{{&c.DialTimeout, 15 * time.Second}, {&c.UDPIdle, time.Minute}, {&c.HalfOpen, time.Hour}, {&c.Retry, 5 * time.Second}} {
		if *d.v == 0 {
			*d.v = d.def
		}
	}
	if c.MaxConns == 0 {
		c.MaxConns = 8192
	}
	if c.MaxClients == 0 {
		c.MaxClients = 1024
	}
	return c, nil
}

// Forwarder runs a set of forwards. Its methods may be called from any goroutine.
type Forwarder struct {
	cfg   Config
	ready chan struct{}
	added chan *rule    // to Run, which owns the goroutines
	ended chan struct{} // closed when Run accepts no further rules

	mu    sync.Mutex
	ran   bool
	rules []*rule // in the order in which they were given
}

// New checks the configuration and the rules. Nothing listens until Run.
func New(cfg Config, specs []Spec) (*Forwarder, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	f := &Forwarder{cfg: cfg, ready: make(chan struct{}), added: make(chan *rule), ended: make(chan struct{})}
	for _, s := range specs {
		if err := f.insert(newRule(f.cfg, s)); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// Run opens the rules and serves them until ctx ends. It returns when every listener and connection
// is closed. A forwarder runs once.
func (f *Forwarder) Run(ctx context.Context) error {
	rules, err := f.begin()
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(f.ended)
	launch := func(r *rule) {
		wg.Go(func() { r.run(ctx) })
	}
	for _, r := range rules {
		r.tryOpen(ctx)
	}
	close(f.ready)
	for _, r := range rules {
		launch(r)
	}
	for {
		select {
		case r := <-f.added:
			launch(r)
		case <-ctx.Done():
			return nil
		}
	}
}

// begin marks the forwarder as running and returns the rules to start. It fails when called again.
func (f *Forwarder) begin() ([]*rule, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ran {
		return nil, mesh.Errorf(mesh.Conflict, "forward: Run was called before")
	}
	f.ran = true
	return slices.Clone(f.rules), nil
}

// Ready is closed when Run has tried to open every rule that New was given. Status reports which of
// them listen.
func (f *Forwarder) Ready() <-chan struct{} { return f.ready }

// Add opens one more rule while Run is running. If the rule cannot listen, Add discards it and
// returns the reason.
func (f *Forwarder) Add(ctx context.Context, s Spec) error { return f.add(ctx, s, false) }

// Want is Add for a rule that stays when it cannot listen yet. As with the rules of New, Status
// reports the reason, and Run tries again.
func (f *Forwarder) Want(ctx context.Context, s Spec) error { return f.add(ctx, s, true) }

func (f *Forwarder) add(ctx context.Context, s Spec, stays bool) error {
	notRunning := mesh.Errorf(mesh.Unavailable, "forward: %s %v: forwards are not running", s.Direction.Flag(), s)
	select {
	case <-f.ready:
	default:
		return notRunning
	}
	r := newRule(f.cfg, s)
	if err := f.insert(r); err != nil {
		return err
	}
	if err := r.tryOpen(ctx); err != nil && !stays {
		f.drop(r)
		r.discard()
		return err
	}
	select {
	case f.added <- r:
		return nil
	case <-f.ended:
	case <-ctx.Done():
	}
	f.drop(r)
	r.discard()
	return notRunning
}

// Remove ends a rule and its connections, and returns when its port is free.
func (f *Forwarder) Remove(s Spec) error {
	f.mu.Lock()
	i, ran := f.find(s), f.ran
	if i < 0 {
		f.mu.Unlock()
		return mesh.Errorf(mesh.NotFound, "forward: %s %v: no such forward", s.Direction.Flag(), s)
	}
	r := f.rules[i]
	f.mu.Unlock()
	if ran {
		r.end()
	}
	f.drop(r)
	return nil
}

// Status describes the rules, in the order in which they were given.
func (f *Forwarder) Status() []Status {
	f.mu.Lock()
	rules := slices.Clone(f.rules)
	f.mu.Unlock()
	out := make([]Status, len(rules))
	for i, r := range rules {
		out[i] = r.status()
	}
	return out
}

// Specs returns the rules, in the order in which they were given.
func (f *Forwarder) Specs() []Spec {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make([]Spec, len(f.rules))
	for i, r := range f.rules {
		out[i] = r.spec
	}
	return out
}

func (f *Forwarder) insert(r *rule) error {
	if err := r.spec.check(); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.find(r.spec) >= 0 {
		return mesh.Errorf(mesh.Conflict, "forward: %s %v is configured twice", r.spec.Direction.Flag(), r.spec)
	}
	f.rules = append(f.rules, r)
	return nil
}

func (f *Forwarder) drop(r *rule) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules = slices.DeleteFunc(f.rules, func(o *rule) bool { return o == r })
}

// find returns the index of a rule, or -1. The caller holds mu.
func (f *Forwarder) find(s Spec) int {
	return slices.IndexFunc(f.rules, func(r *rule) bool { return r.spec == s })
}
