package stun

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"nexd/internal/bucket"
	"nexd/internal/pktinfo"
	"nexd/internal/stun"
	"nexd/mesh"
)

// Defaults of Config. A thousand nodes behind one NAT may ask again every half minute; all sources
// together get what one core answers easily.
var (
	DefaultPerSource = bucket.Rate{PerSecond: 100, Burst: 1000}
	DefaultTotal     = bucket.Rate{PerSecond: 20_000, Burst: 20_000}
)

const sources = 16 << 10 // buckets, 32 bytes each

// Config configures a Server. The zero value is ready to use.
type Config struct {
	PerSource bucket.Rate      // requests of one IPv4 address or IPv6 /64; zero = DefaultPerSource
	Total     bucket.Rate      // requests of all; zero = DefaultTotal
	Logger    *slog.Logger     // nil = discard
	Now       func() time.Time // nil = time.Now
}

// Stats count packets since New.
type Stats struct {
	Answered  uint64
	Malformed uint64 // not a binding request, or an unknown change
	TooShort  uint64 // shorter than the answer
	Nowhere   uint64 // asked for an answer from a port or address that the server does not have
	Limited   uint64 // over a budget
}

// Server answers on any number of sockets. Make it with New.
type Server struct {
	cfg     Config
	sources *bucket.Table

	answered, malformed, tooShort, limited, nowhere atomic.Uint64

	mu      sync.Mutex // guards what follows
	total   bucket.Bucket
	sockets []*Socket
}

// New makes a server.
func New(cfg Config) *Server {
	if cfg.PerSource == (bucket.Rate{}) {
		cfg.PerSource = DefaultPerSource
	}
	if cfg.Total == (bucket.Rate{}) {
		cfg.Total = DefaultTotal
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Server{cfg: cfg, sources: bucket.NewTable(cfg.PerSource, sources)}
}

// Stats returns the counters as they are now.
func (s *Server) Stats() Stats {
	return Stats{Answered: s.answered.Load(), Malformed: s.malformed.Load(), TooShort: s.tooShort.Load(), Limited: s.limited.Load(), Nowhere: s.nowhere.Load()}
}

// Answer appends the answer to a packet to b, or nothing. It is for a socket that the server does
// not know, so it never answers from another socket.
func (s *Server) Answer(b, packet []byte, from netip.AddrPort) []byte {
	return s.answer(nil, b, packet, from, netip.Addr{})
}

// answer processes a packet that arrived at the socket at, sent to the address asked. at is nil if
// the server does not know the socket.
func (s *Server) answer(at *Socket, b, packet []byte, from netip.AddrPort, asked netip.Addr) []byte {
	now := s.cfg.Now()
	if !s.sources.Take(from.Addr(), now) || !s.takeTotal(now) {
		s.limited.Add(1)
		return b
	}
	req, err := stun.ParseRequest(packet)
	if err != nil {
		s.malformed.Add(1)
		return b
	}
	answer, through := stun.Response{ID: req.ID, Mapped: from}, at
	if req.Change != 0 {
		answer.Other = s.other(at)
	}
	if want := req.Change &^ stun.Asked; want != 0 {
		if through = s.sibling(at, want); through == nil {
			s.nowhere.Add(1)
			return b
		}
	}
	out := answer.Append(b, req.Fingerprint)
	switch {
	case len(out)-len(b) > len(packet):
		s.tooShort.Add(1)
		return b
	case through != at:
		through.write(out[len(b):], from, asked)
		out = b
	}
	s.answered.Add(1)
	return out
}

func (s *Server) takeTotal(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total.Take(s.cfg.Total, 1, now)
}

// Listen opens a socket for Serve. An address without a host, or with an unspecified one, means
// IPv4 and IPv6 where the system has both.
func Listen(addr string) (*pktinfo.Conn, error) {
	pc, err := new(net.ListenConfig).ListenPacket(context.Background(), "udp", addr)
	if err != nil {
		return nil, mesh.Errorf(mesh.Invalid, "stun: listening on %s: %w", addr, err)
	}
	return pktinfo.Wrap(pc.(*net.UDPConn)), nil // what "udp" always is
}
