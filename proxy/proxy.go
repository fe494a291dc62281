package proxy

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"nexd/internal/budget"
	"nexd/internal/crew"
	"nexd/internal/datagram"
	"nexd/internal/quota"
)

// Defaults of Config.
const (
	DefaultHandshakeTimeout = 10 * time.Second
	DefaultDialTimeout      = 30 * time.Second
	DefaultIdleTimeout      = 24 * time.Hour
	DefaultUDPIdleTimeout   = 5 * time.Minute
	DefaultMaxConns         = 16384
	DefaultMaxPerClient     = 4096
	DefaultMaxHandshakes    = 2048
	DefaultMaxAssociations  = 1024
)

// halfIdleTimeout is how long a half-closed connection may be idle. The usual cause is a client
// that left long ago.
const halfIdleTimeout = 15 * time.Minute

// Config configures a Proxy. Dial is required; everything else has a default.
type Config struct {
	// Dial opens a connection into the mesh. Network is "tcp" and address is "host:port" with a
	// name or a literal address, as the client sent it. Dial must return when ctx ends. The proxy
	// derives its answer from the errno or the mesh.Kind of the error: NotFound is an unknown name,
	// Denied is not allowed.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// ListenPacket opens an unconnected UDP socket into the mesh, one for each UDP
	// ASSOCIATE. Closing it ends a read. Nil refuses UDP ASSOCIATE.
	ListenPacket func(ctx context.Context) (datagram.Conn, error)

	// Resolve returns the addresses of a name that a UDP client sends to, the best first. Nil
	// refuses UDP ASSOCIATE.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)

	// Auth reports in constant time whether a user has this password (see Users). Nil admits
	// everybody. With Auth, SOCKS4 is refused, since it has no passwords.
	Auth func(user, password string) bool

	// Reach describes what lies behind the proxy, for the auto-configuration file. Nil: nothing.
	Reach func() Reach

	Logger           *slog.Logger  // nil discards
	HandshakeTimeout time.Duration // until the client has sent its request; 0 = DefaultHandshakeTimeout
	DialTimeout      time.Duration // 0 = DefaultDialTimeout
	IdleTimeout      time.Duration // of a connection; 0 = DefaultIdleTimeout
	UDPIdleTimeout   time.Duration // of a UDP association; 0 = DefaultUDPIdleTimeout
	MaxConns         int           // clients at a time; further ones are refused; 0 = DefaultMaxConns
	MaxPerClient     int           // of one address; 0 = DefaultMaxPerClient, and any number from loopback
	MaxHandshakes    int           // clients that have not sent their request yet; 0 = DefaultMaxHandshakes
	MaxAssociations  int           // UDP associations at a time; 0 = DefaultMaxAssociations

	// Budget is the memory that clients may take. Nil: no limit.
	Budget *budget.Budget
}

// Proxy serves SOCKS and HTTP clients.
type Proxy struct {
	cfg     Config
	log     *slog.Logger
	stats   counters
	buffers datagram.Pool
	clients quota.Table[netip.Addr] // connections of each address

	clientsFull, associationsFull rate.Sometimes // limit the log lines about a full proxy
}

// counters are the numbers behind Stats.
type counters struct {
	active, accepted, refused, failed  atomic.Int64
	handshakes, refusing, associations atomic.Int64
	sent, received, dropped            atomic.Int64
}

// Stats describe the work of a proxy over all its listeners: gauges, and counters since New.
type Stats struct {
	Active   int64 // clients connected now
	Accepted int64 // clients served, including the active ones
	Refused  int64 // clients and associations turned away at a limit
	Failed   int64 // targets that could not be reached
	Sent     int64 // bytes to targets
	Received int64 // bytes from targets

	Handshakes   int64 // clients that have not sent their request yet
	Associations int64 // UDP associations now
	Dropped      int64 // datagrams of associations that could not be delivered
}

// New checks the configuration.
func New(cfg Config) (*Proxy, error) {
	if cfg.Dial == nil {
		return nil, errors.New("proxy: no Dial function")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.MaxPerClient < 0 {
		return nil, errNegative
	}
	for n, def := range map[*int]int{
		&cfg.MaxConns:        DefaultMaxConns,
		&cfg.MaxHandshakes:   DefaultMaxHandshakes,
		&cfg.MaxAssociations: DefaultMaxAssociations,
	} {
		if *n < 0 {
			return nil, errNegative
		}
		*n = cmp.Or(*n, def)
	}
	for d, def := range map[*time.Duration]time.Duration{
		&cfg.HandshakeTimeout: DefaultHandshakeTimeout,
		&cfg.DialTimeout:      DefaultDialTimeout,
		&cfg.IdleTimeout:      DefaultIdleTimeout,
		&cfg.UDPIdleTimeout:   DefaultUDPIdleTimeout,
	} {
		if *d < 0 {
			return nil, errNegative
		}
		*d = cmp.Or(*d, def)
	}
	return &Proxy{
		cfg: cfg, log: cfg.Logger,
		clientsFull: rate.Sometimes{Interval: fullLogInterval}, associationsFull: rate.Sometimes{Interval: fullLogInterval},
	}, nil
}

// fullLogInterval is how often the log mentions that the proxy is full.
const fullLogInterval = time.Minute

var errNegative = errors.New("proxy: a limit is negative")

// Stats returns the counters as they are now.
func (p *Proxy) Stats() Stats {
	return Stats{
		Active:   p.stats.active.Load(),
		Accepted: p.stats.accepted.Load(),
		Refused:  p.stats.refused.Load(),
		Failed:   p.stats.failed.Load(),
		Sent:     p.stats.sent.Load(),
		Received: p.stats.received.Load(),

		Handshakes:   p.stats.handshakes.Load(),
		Associations: p.stats.associations.Load(),
		Dropped:      p.stats.dropped.Load(),
	}
}

// Serve accepts clients until ctx ends, which returns nil, or the listener fails. It closes ln,
// cuts open connections and returns when all of them are closed. If somebody else closes ln, Serve
// accepts no new clients, lets existing ones continue and returns nil after the last. A Proxy may
// serve several listeners.
func (p *Proxy) Serve(ctx context.Context, ln net.Listener) error {
	s := &server{Proxy: p}
	var web sync.WaitGroup
	defer s.crew.Wait()    // seventh: nothing of ours outlives Serve
	defer s.crew.Close()   // sixth
	defer web.Wait()       // fifth
	defer s.clients.Wait() // fourth
	ctx, cancel := context.WithCancel(ctx)
	s.web = newWeb(ctx, s, ln.Addr())
	defer s.web.close() // third
	defer cancel()      // second: close every client
	defer ln.Close()    // first: no new clients
	defer context.AfterFunc(ctx, func() { ln.Close() })()
	web.Go(s.web.serve)
	err := s.accept(ctx, ln)
	if errors.Is(err, net.ErrClosed) {
		s.clients.Wait() // the end of ctx ends them
		return nil
	}
	return err
}

// server is a Proxy at work on one listener.
type server struct {
	*Proxy
	web     *web
	crew    crew.Crew      // runs the handshakes; tunnels have goroutines of their own
	clients sync.WaitGroup // one for each client
}
