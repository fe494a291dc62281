package relayserver

import (
	"context"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"nexd/internal/addrlimit"
	"nexd/internal/bucket"
	"nexd/internal/quota"
	"nexd/mesh"
	"nexd/relay"
)

// Config configures a Server. TokenKey is required.
type Config struct {
	TokenKey []byte           // control.RelayKey
	NodeRate bucket.Rate      // bytes a second from one node; zero = no limit
	OrgRate  bucket.Rate      // bytes a second inside one organization; zero = no limit
	MaxNodes int              // connections in all; 0 = DefaultMaxNodes
	Memory   int64            // bound of all queues together, in bytes; 0 = DefaultMemory
	Logger   *slog.Logger     // nil = discard
	Now      func() time.Time // for tokens; nil = time.Now

	ClientAddr func(*http.Request) netip.Addr // the client of a request; nil = the remote address

	// The rest is for tests; zero takes the defaults.
	Silence   time.Duration // after which a node is disconnected; 0 = 30 s
	StuckTime time.Duration // how long one write to a node may take; 0 = 15 s
	DrainTime time.Duration // to write queued frames at the end; 0 = 1 s
	AuthTime  time.Duration // to authenticate; 0 = 5 s
	SweepTime time.Duration // between checks of silence, stuck writes and expired tokens; 0 = 2 s
}

// Defaults of Config, and fixed bounds.
const (
	DefaultMaxNodes = 20_000
	DefaultMemory   = 256 << 20
	strangers       = 2048 // connections that have not authenticated yet
	strangersFrom   = 256  // of them, from one IPv4 address or IPv6 /64
)

// Stats are counters since New, and gauges in the first two lines.
type Stats struct {
	Nodes, Organizations int
	Queued               int64 // bytes of memory in queues

	Admitted, Replaced         uint64
	DeniedToken, DeniedProof   uint64 // connections
	DeniedFull, DeniedProtocol uint64 // connections
	Cut                        uint64 // connections: silent, stuck, or the token ended

	Packets, Bytes uint64 // forwarded
	Datagrams      uint64 // valid datagrams received over UDP
	Forged         uint64 // datagrams with a wrong MAC, or not of this protocol
	Repeated       uint64 // datagrams received before
	NoSession      uint64 // datagrams of unknown sessions
	NotSealed      uint64 // dropped: not a sealed packet
	OverBudget     uint64 // dropped
	Unknown        uint64 // dropped: the receiver is not connected, or in another organization
	Dropped        uint64 // dropped by a full queue
}

// Server is a relay. Make it with New, serve it at relay.Token.URL, and run it with Run.
type Server struct {
	cfg   Config
	log   *slog.Logger
	rooms *rooms
	count counters

	mu       sync.Mutex
	closing  bool
	fresh    quota.Table[netip.Prefix] // unauthenticated connections, by source
	freshAll int
	all      int // connections
	conns    map[*websocket.Conn]struct{}
	handlers sync.WaitGroup
}

type counters struct {
	admitted, replaced, deniedToken, deniedProof, deniedFull, deniedProtocol, cut                   atomic.Uint64
	packets, bytes, datagrams, forged, repeated, noSession, notSealed, overBudget, unknown, dropped atomic.Uint64
}

// New makes a relay.
func New(cfg Config) (*Server, error) {
	if len(cfg.TokenKey) < 32 {
		return nil, mesh.Errorf(mesh.Invalid, "relayserver: token key of %d bytes", len(cfg.TokenKey))
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.MaxNodes <= 0 {
		cfg.MaxNodes = DefaultMaxNodes
	}
	if cfg.Memory <= 0 {
		cfg.Memory = DefaultMemory
	}
	for _, d := range []struct {
		at *time.Duration
		is time.Duration
	}{{&cfg.Silence, 30 * time.Second}, {&cfg.StuckTime, 15 * time.Second}, {&cfg.DrainTime, time.Second}, {&cfg.AuthTime, 5 * time.Second}, {&cfg.SweepTime, 2 * time.Second}} {
		if *d.at <= 0 {
			*d.at = d.is
		}
	}
	return &Server{cfg: cfg, log: cfg.Logger, rooms: newRooms(cfg.Memory), conns: map[*websocket.Conn]struct{}{}}, nil
}

// Stats returns the counters as they are now.
func (s *Server) Stats() Stats {
	nodes, orgs := s.rooms.size()
	c := &s.count
	return Stats{
		Nodes: nodes, Organizations: orgs, Queued: s.rooms.pool.Used(),
		Admitted: c.admitted.Load(), Replaced: c.replaced.Load(), DeniedToken: c.deniedToken.Load(), DeniedProof: c.deniedProof.Load(),
		DeniedFull: c.deniedFull.Load(), DeniedProtocol: c.deniedProtocol.Load(), Cut: c.cut.Load(),
		Packets: c.packets.Load(), Bytes: c.bytes.Load(), Datagrams: c.datagrams.Load(), Forged: c.forged.Load(), Repeated: c.repeated.Load(), NoSession: c.noSession.Load(), NotSealed: c.notSealed.Load(), OverBudget: c.overBudget.Load(),
		Unknown: c.unknown.Load(), Dropped: c.dropped.Load(),
	}
}

// Drop disconnects a node that was removed from its organization, at once, and refuses its tokens,
// which would be valid for longer.
func (s *Server) Drop(org mesh.OrgID, key mesh.Key) {
	s.rooms.remove(org, key, s.cfg.Now())
	for _, n := range s.rooms.named(org, key) {
		if !n.leaving.Swap(true) {
			s.count.cut.Add(1)
		}
		s.rooms.expel(n)
		n.goodbye(relay.ByeDenied, "this node was removed from its organization")
	}
}

// Run disconnects nodes that are silent or stuck or have no valid token, until ctx ends. Then it
// admits nobody, sends each node its queued packets and a goodbye, and returns when all connections
// are closed.
func (s *Server) Run(ctx context.Context) error {
	tick := time.NewTicker(s.cfg.SweepTime)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			s.drain()
			return nil
		case <-tick.C:
			s.sweep()
		}
	}
}

func (s *Server) sweep() {
	now, wall := time.Now(), s.cfg.Now()
	for _, n := range s.rooms.nodes() {
		if why := n.overdue(now, wall, s.cfg.Silence, s.cfg.StuckTime); why != "" {
			if !n.leaving.Swap(true) {
				s.count.cut.Add(1)
			}
			s.log.Debug("relay: node cut off", "node", n.key.Short(), "organization", n.room.org, "why", why)
			n.cut(why)
		}
	}
}

// drain ends all connections with a goodbye.
func (s *Server) drain() {
	s.mu.Lock()
	s.closing = true
	s.mu.Unlock()
	for _, n := range s.rooms.nodes() {
		n.goodbye(byeStopping, "the relay stops")
	}
	late := time.AfterFunc(s.cfg.DrainTime, func() {
		for _, conn := range s.connections() {
			conn.CloseNow()
		}
	})
	defer late.Stop()
	s.handlers.Wait()
	st := s.Stats()
	s.log.Info("relay stopped", "packets", st.Packets, "bytes", st.Bytes, "dropped", st.Dropped, "over_budget", st.OverBudget, "not_sealed", st.NotSealed)
}

// enter counts one more connection. It returns false at a limit.
func (s *Server) enter(from netip.Prefix) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing || s.freshAll >= strangers || s.all >= s.cfg.MaxNodes || !s.fresh.Take(from, strangersFrom) {
		return false
	}
	s.freshAll++
	s.all++
	s.handlers.Add(1)
	return true
}

// known removes a connection from the count of unauthenticated ones.
func (s *Server) known(from netip.Prefix) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.freshAll--
	s.fresh.Give(from)
}

func (s *Server) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all--
	s.handlers.Done()
}

// hold registers a connection, so that drain can end it. It returns false if the relay is stopping.
func (s *Server) hold(conn *websocket.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closing {
		s.conns[conn] = struct{}{}
	}
	return !s.closing
}

func (s *Server) drop(conn *websocket.Conn) {
	conn.CloseNow()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, conn)
}

func (s *Server) connections() []*websocket.Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.conns))
}

func (s *Server) stopping() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.closing }

// ServeHTTP accepts a WebSocket and serves it until it ends.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	from := s.source(r)
	if !s.enter(from) {
		s.count.deniedFull.Add(1)
		w.Header().Set("Retry-After", "2")
		http.Error(w, "the relay takes no more connections", http.StatusServiceUnavailable)
		return
	}
	defer s.leave()
	known := sync.OnceFunc(func() { s.known(from) })
	defer known()
	conn, err := accept(w, r)
	if err != nil {
		s.count.deniedProtocol.Add(1)
		s.log.Debug("relay: no WebSocket", "err", err)
		return
	}
	defer s.drop(conn)
	if !s.hold(conn) {
		return
	}
	n, err := s.admit(conn)
	if err != nil {
		s.refuse(conn, err)
		return
	}
	known()
	s.serve(n)
}

// source is the address, or IPv6 /64, that a request counts for. All unknown ones are the same.
func (s *Server) source(r *http.Request) netip.Prefix {
	if s.cfg.ClientAddr != nil {
		return addrlimit.Source(s.cfg.ClientAddr(r))
	}
	from, _ := netip.ParseAddrPort(r.RemoteAddr)
	return addrlimit.Source(from.Addr())
}
