package router

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"time"

	"nexd/internal/budget"
	"nexd/mesh"
)

// Config configures a Router. The zero value routes nothing.
type Config struct {
	Advertisements []mesh.Advertisement // valid until the first Set
	AllowLocal     []Allow              // loopback and link-local targets that the router may dial
	Limits         Limits

	// PeerOf names the peer behind a source address, so that a node with two addresses has one
	// account. nil: each address is a peer of its own.
	PeerOf func(netip.Addr) string

	// Dial opens a socket of the host. Network is tcp or udp, address a literal. The errno of its
	// errors decides the answer to the client. nil: the host's own sockets, with keepalive.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// Ping sends one echo request to target. It returns nil if the target answered, an error with
	// an errno if the target is unreachable, and any other error if there was no answer. nil: the
	// best method that the host permits, chosen when Run starts.
	Ping func(ctx context.Context, target netip.Addr, seq uint16, payload []byte) error

	Budget *budget.Budget // memory that flows may take; nil: no limit
	Logger *slog.Logger   // nil: silent
}

// Limits bound what one peer may hold at a time. A field that is zero takes its default. At a limit
// the router turns the new flow away, counts it, and reports it in Problems; existing flows continue.
type Limits struct {
	Sockets       int           // TCP connections and UDP flows of all peers: four fifths of the descriptors that the host allows, or what memory allows; one peer alone gets three quarters of them, see accounts.socketFor
	Dials         int           // incomplete connections: 1024, or a quarter of Sockets if that is less; a quarter is reserved for targets known to be alive, and one target gets at most a quarter; as many more wait for their turn
	DialsPerDead  int           // of these, to one address that is not known to be alive: 32
	Conns         int           // TCP connections, attempts included: 16384
	UDPFlows      int           // UDP flows: 4096, less where the host allows fewer descriptors
	Pings         int           // echo requests in flight: 64
	DialTimeout   time.Duration // until a target without an answer counts as dead: 10 s
	UDPIdle       time.Duration // until an idle UDP flow ends: 2 min
	DNSIdle       time.Duration // the same for port 53: 30 s, and 2 s once every question is answered
	PingTimeout   time.Duration // until a ping is lost: 5 s
	HalfOpen      time.Duration // how long a half-closed connection may be idle: 1 h
	DeadFor       time.Duration // until a dead target is dialled again: 5 s; an unreachable one after less than half of that
	PingPrograms  int           // ping programs or TCP probes at once, all peers: 64; one peer gets half
	EchoShareable time.Duration // how long later requests share the result of one program or probe: 900 ms
}

func (l Limits) withDefaults() Limits {
	files := maxFiles()
	orInt(&l.Dials, 1024)
	orInt(&l.DialsPerDead, min(32, l.Dials))
	orInt(&l.Sockets, max(files*4/5, 128))
	orInt(&l.Conns, 16384)
	orInt(&l.UDPFlows, max(min(4096, files/4), 32))
	orInt(&l.Pings, 64)
	orInt(&l.PingPrograms, 64)
	orDuration(&l.DialTimeout, 10*time.Second)
	orDuration(&l.UDPIdle, 2*time.Minute)
	orDuration(&l.DNSIdle, 30*time.Second)
	orDuration(&l.PingTimeout, 5*time.Second)
	orDuration(&l.HalfOpen, time.Hour)
	orDuration(&l.DeadFor, 5*time.Second)
	orDuration(&l.EchoShareable, 900*time.Millisecond)
	return l
}

func orInt(v *int, def int) {
	if *v == 0 {
		*v = def
	}
}

func orDuration(v *time.Duration, def time.Duration) {
	if *v == 0 {
		*v = def
	}
}

func (l Limits) check() error {
	for _, n := range []int{l.Sockets, l.Dials, l.DialsPerDead, l.Conns, l.UDPFlows, l.Pings, l.PingPrograms} {
		if n < 0 {
			return mesh.Errorf(mesh.Invalid, "router: limit %d is negative", n)
		}
	}
	for _, d := range []time.Duration{l.DialTimeout, l.UDPIdle, l.DNSIdle, l.PingTimeout, l.HalfOpen, l.DeadFor, l.EchoShareable} {
		if d < 0 {
			return mesh.Errorf(mesh.Invalid, "router: limit %v is negative", d)
		}
	}
	return nil
}

func (c Config) withDefaults() (Config, error) {
	if err := c.Limits.check(); err != nil {
		return c, err
	}
	for _, a := range c.AllowLocal {
		if !a.Prefix.IsValid() || !withinLocal(a.Prefix) {
			return c, mesh.Errorf(mesh.Invalid, "router: allow %v: not loopback or link-local", a)
		}
	}
	c.AllowLocal = slices.Clone(c.AllowLocal)
	c.Limits = c.Limits.withDefaults()
	c.Limits.Sockets = min(c.Limits.Sockets, max(c.Budget.Most(budget.TCP), 32))
	c.Limits.Dials = min(c.Limits.Dials, max(c.Limits.Sockets/4, 32))
	c.Limits.DialsPerDead = min(c.Limits.DialsPerDead, max(c.Limits.Dials/4, 1))
	if c.PeerOf == nil {
		c.PeerOf = netip.Addr.String
	}
	if c.Dial == nil {
		c.Dial = hostDialer().DialContext
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

// hostDialer opens sockets that cannot broadcast. Keepalive is set later, see keepAliveAfter.
func hostDialer() *net.Dialer {
	return &net.Dialer{Control: socketOptions, KeepAlive: -1}
}
