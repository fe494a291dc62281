package proxy

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Defaults of Config.
const (
	DefaultHandshakeTimeout = 10 * time.Second
	DefaultDialTimeout      = 30 * time.Second
	DefaultIdleTimeout      = 24 * time.Hour
	DefaultMaxConns         = 10000
)

// halfIdleTimeout is how long a connection lives on in silence after one side
// has sent its end: the usual cause is a client that left long ago.
const halfIdleTimeout = 15 * time.Minute

// Config is what a Proxy needs. Everything but Dial has a default.
type Config struct {
	// Dial opens a connection into the mesh. Network is "tcp" and address is
	// "host:port" with a name or a literal address, as the client sent it. It must
	// return when ctx ends. Its errors are judged by the errno of package syscall
	// or the mesh.Kind they carry: NotFound is an unknown name, Denied is not allowed.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	Logger           *slog.Logger  // nil discards
	HandshakeTimeout time.Duration // for the client to say what it wants; 0 = DefaultHandshakeTimeout
	DialTimeout      time.Duration // 0 = DefaultDialTimeout
	IdleTimeout      time.Duration // nothing moves either way; 0 = DefaultIdleTimeout
	MaxConns         int           // clients at a time; what comes beyond is closed; 0 = DefaultMaxConns
}

// Proxy serves SOCKS5 and HTTP clients.
type Proxy struct {
	cfg   Config
	log   *slog.Logger
	stats counters
	full  notice
}

// counters are the numbers behind Stats.
type counters struct {
	active, accepted, refused, failed atomic.Int64
	sent, received                    atomic.Int64
}

// Stats is what a proxy has done so far, over all its listeners.
type Stats struct {
	Active   int64 // clients connected now
	Accepted int64 // clients served, the active ones included
	Refused  int64 // clients turned away because MaxConns were there
	Failed   int64 // targets that could not be reached
	Sent     int64 // bytes to targets
	Received int64 // bytes from targets
}

// New checks the configuration.
func New(cfg Config) (*Proxy, error) {
	if cfg.Dial == nil {
		return nil, errors.New("proxy: no Dial function")
	}
	if cfg.MaxConns < 0 || cfg.HandshakeTimeout < 0 || cfg.DialTimeout < 0 || cfg.IdleTimeout < 0 {
		return nil, errors.New("proxy: a limit is negative")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.MaxConns == 0 {
		cfg.MaxConns = DefaultMaxConns
	}
	for d, def := range map[*time.Duration]time.Duration{
		&cfg.HandshakeTimeout: DefaultHandshakeTimeout,
		&cfg.DialTimeout:      DefaultDialTimeout,
		&cfg.IdleTimeout:      DefaultIdleTimeout,
	} {
		if *d == 0 {
			*d = def
		}
	}
	return &Proxy{cfg: cfg, log: cfg.Logger}, nil
}

// Stats returns the counters as they are now.
func (p *Proxy) Stats() Stats {
	return Stats{
		Active:   p.stats.active.Load(),
		Accepted: p.stats.accepted.Load(),
		Refused:  p.stats.refused.Load(),
		Failed:   p.stats.failed.Load(),
		Sent:     p.stats.sent.Load(),
		Received: p.stats.received.Load(),
	}
}

// Serve accepts clients until ctx ends, which returns nil, or the listener
// fails. It closes ln, cuts what is still moving and returns when all its
// connections are closed. One Proxy may serve several listeners.
func (p *Proxy) Serve(ctx context.Context, ln net.Listener) error {
	s := &server{Proxy: p}
	defer s.clients.Wait() // fourth: nothing of ours outlives Serve
	ctx, cancel := context.WithCancel(ctx)
	s.web = newWeb(ctx, s, ln.Addr())
	defer s.web.close() // third
	defer cancel()      // second: every client is hung up
	defer ln.Close()    // first: no new clients
	defer context.AfterFunc(ctx, func() { ln.Close() })()
	s.clients.Go(s.web.serve)
	return s.accept(ctx, ln)
}

// server is a Proxy at work on one listener.
type server struct {
	*Proxy
	web     *web
	clients sync.WaitGroup // one for each client and each goroutine of ours
}
