package forward

import (
	"context"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"nexd/internal/splice"
	"nexd/internal/unixsock"
	"nexd/mesh"
)

// Config is what a Forwarder is made from. The four Mesh funcs are needed;
// everything else has a default.
type Config struct {
	// DialMesh and DialHost open connections; network is tcp or udp, address
	// HOST:PORT with HOST a name or a literal; DialHost also gets unix and a path. A udp conn is connected: one Read
	// is one datagram. DialHost nil: the host's own sockets.
	DialMesh, DialHost func(ctx context.Context, network, address string) (net.Conn, error)

	// ListenMesh and ListenHost listen for TCP; network is tcp4 or tcp6, address
	// always a literal; ListenHost also gets unix and a path. The mesh is asked for 0.0.0.0 and ::, which mean all of
	// this node's addresses. ListenHost nil: the host's own sockets.
	ListenMesh, ListenHost func(ctx context.Context, network, address string) (net.Listener, error)

	// ListenPacketMesh and ListenPacketHost do the same for UDP, network udp4 or
	// udp6.
	ListenPacketMesh, ListenPacketHost func(ctx context.Context, network, address string) (net.PacketConn, error)

	DialTimeout time.Duration // of one connection to a target: 15 s
	UDPIdle     time.Duration // until a quiet UDP client is forgotten: 60 s
	HalfOpen    time.Duration // how long a connection may be quiet after one side ended: 1 h
	Retry       time.Duration // between tries to listen: 5 s
	MaxConns    int           // TCP connections of one rule: 8192; of these, one address beyond this host gets a third
	MaxClients  int           // UDP clients of one rule: 1024, likewise

	Logger *slog.Logger // nil: silent
}

func (c Config) withDefaults() (Config, error) {
	if c.DialMesh == nil || c.ListenMesh == nil || c.ListenPacketMesh == nil {
		return c, mesh.Errorf(mesh.Invalid, "forward: no way into the mesh given")
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

// Forwarder keeps a set of forwards going. Its methods may be called from any
// goroutine.
type Forwarder struct {
	cfg   Config
	ready chan struct{}
	added chan *rule    // to Run, which owns the goroutines
	ended chan struct{} // closed when Run takes no more

	mu    sync.Mutex
	ran   bool
	rules []*rule // in the order they were given
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

// Run opens the rules and keeps them going until ctx ends. It returns when every
// listener and connection is closed. A forwarder runs once.
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

// begin marks the forwarder as running, once, and returns the rules it starts
// with.
func (f *Forwarder) begin() ([]*rule, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ran {
		return nil, mesh.Errorf(mesh.Conflict, "forward: run: it ran before")
	}
	f.ran = true
	return slices.Clone(f.rules), nil
}

// Ready is closed when Run has tried to open every rule New was given. Status
// tells which of them listen.
func (f *Forwarder) Ready() <-chan struct{} { return f.ready }

// Add opens one more rule while Run runs. A rule that cannot listen now is not
// kept, and the error says why.
func (f *Forwarder) Add(ctx context.Context, s Spec) error { return f.add(ctx, s, false) }

// Want is Add for a rule that stays when it cannot listen now: Status says why, and Run
// tries again, as it does with those that New was given.
func (f *Forwarder) Want(ctx context.Context, s Spec) error { return f.add(ctx, s, true) }

func (f *Forwarder) add(ctx context.Context, s Spec, stays bool) error {
	away := mesh.Errorf(mesh.Unavailable, "forward: %s %v: forwards are not running", s.Direction.Flag(), s)
	select {
	case <-f.ready:
	default:
		return away
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
	return away
}

// Remove ends a rule with all its connections, and returns when its port is free.
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

// Status is a copy of what the rules are doing, in the order they were given.
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

// Specs are the rules, in the order they were given.
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
		return mesh.Errorf(mesh.Conflict, "forward: %s %v: given twice", r.spec.Direction.Flag(), r.spec)
	}
	f.rules = append(f.rules, r)
	return nil
}

func (f *Forwarder) drop(r *rule) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules = slices.DeleteFunc(f.rules, func(o *rule) bool { return o == r })
}

// find is the place of a rule, or -1; the caller holds mu.
func (f *Forwarder) find(s Spec) int {
	return slices.IndexFunc(f.rules, func(r *rule) bool { return r.spec == s })
}
