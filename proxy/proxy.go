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

	// ListenPacket opens an unconnected UDP socket into the mesh, one for each UDP
	// ASSOCIATE. Closing it ends a read. Nil refuses UDP ASSOCIATE.
	ListenPacket func(ctx context.Context) (datagram.Conn, error)

	// Resolve finds the addresses of a name that a UDP client sends to, the best
	// first. Nil refuses UDP ASSOCIATE.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)

	// Auth says whether a user may use the proxy with this password, in constant
	// time (see Users). Nil lets everybody in; otherwise SOCKS4, which has no
	// passwords, is refused.
	Auth func(user, password string) bool

	// Reach says what lies behind the proxy, for the auto-configuration file. Nil
	// is nothing.
	Reach func() Reach

	Logger           *slog.Logger  // nil discards
	HandshakeTimeout time.Duration // for the client to say what it wants; 0 = DefaultHandshakeTimeout
	DialTimeout      time.Duration // 0 = DefaultDialTimeout
	IdleTimeout      time.Duration // nothing moves either way; 0 = DefaultIdleTimeout
	UDPIdleTimeout   time.Duration // nothing moves in a UDP association; 0 = DefaultUDPIdleTimeout
	MaxConns         int           // clients at a time; what comes beyond is refused; 0 = DefaultMaxConns
	MaxPerClient     int           // of one address; 0 = DefaultMaxPerClient, and any number from loopback
	MaxHandshakes    int           // clients that have not yet said what they want; 0 = DefaultMaxHandshakes
	MaxAssociations  int           // UDP associations at a time; 0 = DefaultMaxAssociations
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

// Stats is what a proxy has done so far, over all its listeners.
type Stats struct {
	Active   int64 // clients connected now
	Accepted int64 // clients served, the active ones included
	Refused  int64 // clients and associations turned away at a limit
	Failed   int64 // targets that could not be reached
	Sent     int64 // bytes to targets
	Received int64 // bytes from targets

	Handshakes   int64 // clients that have not yet said what they want
	Associations int64 // UDP associations now
	Dropped      int64 // datagrams of associations that went nowhere
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

// Serve accepts clients until ctx ends, which returns nil, or the listener
// fails. It closes ln, cuts what is still moving and returns when all its
// connections are closed. When somebody else closes ln there are no new clients, those
// that are there go on, and Serve returns nil after the last. One Proxy may serve
// several listeners.
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
	defer cancel()      // second: every client is hung up
	defer ln.Close()    // first: no new clients
	defer context.AfterFunc(ctx, func() { ln.Close() })()
	web.Go(s.web.serve)
	err := s.accept(ctx, ln)
	if errors.Is(err, net.ErrClosed) {
		s.clients.Wait() // ctx may end them meanwhile
		return nil
	}
	return err
}

// server is a Proxy at work on one listener.
type server struct {
	*Proxy
	web     *web
	crew    crew.Crew      // makes clients' connections; does not carry them
	clients sync.WaitGroup // one for each client
}
