package underlay

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
	"golang.zx2c4.com/wireguard/conn"

	"nexd/mesh"
	"nexd/tunnel/reflexive"
	"nexd/tunnel/udp"
)

// sockets are a UDP socket of each address family, as package tunnel/udp opens them.
type sockets interface {
	Port() uint16
	Readers() (v4, v6 udp.Reader) // nil for a missing family
	Send(packets [][]byte, dst netip.AddrPort, plain bool) (refused bool, err error)
	SendHops(packet []byte, dst netip.AddrPort, hops int) error
	SetMark(mark uint32) error
	Close() error
}

// openFunc opens sockets on a port, or on a free one if port is 0.
type openFunc func(port uint16, log *slog.Logger) (sockets, error)

func openUDP(port uint16, log *slog.Logger) (sockets, error) {
	s, err := udp.Open(port, log)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// openSockets are sockets that WireGuard uses.
type openSockets struct {
	sockets
	closed chan struct{} // closed by Bind.Close
}

// MaxCandidates is how many candidate addresses of one peer are kept.
const MaxCandidates = 16

// Limits on opening initiations on the receiving goroutine. Beyond them the
// opening waits until WireGuard, whose cookies keep floods out, has accepted
// the message; that of a node without a peer in WireGuard is lost and tried again
// by its sender after 5 s.
const (
	openingsPerSecond = 250
	openingsAtOnce    = 256

	reservePerSecond = 50 // for sources that the network map knows
	reserveAtOnce    = 64
)

// ErrNoAddress is wrapped by what Send returns for a peer that has neither a
// path nor candidates.
var ErrNoAddress = errors.New("no address of it is known")

// Config says what a Bind needs. PrivateKey is required.
type Config struct {
	PrivateKey mesh.PrivateKey
	ListenPort uint16       // 0 = a free one
	Logger     *slog.Logger // nil = discard
	Batch      int          // packets in one read or send at most; 0 = what the system is best with

	// OnStray, if set, is told of a peer from whose candidate address data comes
	// that belongs to no session of this process: it talks to an earlier life of
	// this node, and tunnel.Initiate mends that; or whose initiation is older than one
	// before, as when its clock went back. Called at most every 5 s for a
	// peer, on a receiving goroutine; it must return at once.
	OnStray func(mesh.Key)

	// Pace, if set, keeps what is on its way through WireGuard short.
	Pace Pace

	// Relay, if set, carries packets that cannot go directly. RelayUp says when it
	// can be used, FromRelay takes what comes by it.
	Relay Relay

	// OnMapped, if set, is told what STUN found, whenever that changes. Called on
	// the goroutine of Run; it must return at once.
	OnMapped func(reflexive.Mapped)
}

// Pace is told of data packets, and may hold back the next ones (tunnel/pace).
type Pace interface {
	Sent(packets int)     // Send was done with them, sent or not
	Received(packets int) // were handed to WireGuard
	Admitter() func()     // one for each receiving goroutine, called before it reads; may wait
}

// unpaced is for a bind without a Pace.
type unpaced struct{}

func (unpaced) Sent(int)         {}
func (unpaced) Received(int)     {}
func (unpaced) Admitter() func() { return func() {} }

// Peer is a node that may talk to this one, and where it may be found.
type Peer struct {
	Key        mesh.Key
	Candidates []netip.AddrPort // best first; what is beyond MaxCandidates is ignored
}

// Bind is a conn.Bind over UDP that knows peers.
type Bind struct {
	key      mesh.Key
	batch    int
	logger   *slog.Logger
	onStray  func(mesh.Key)
	pace     Pace
	private  mesh.PrivateKey
	relay    *relayed // nil = none
	probes   probes
	stun     *reflexive.Client
	onMapped func(reflexive.Mapped)
	open     openFunc
	start    time.Time

	opener   *opener
	openings *rate.Limiter
	reserve  *rate.Limiter
	knock    atomic.Pointer[func(mesh.Key) bool]
	copies   handshakeCache
	indices  indexTable
	byAddr   atomic.Pointer[map[netip.AddrPort]*peer] // candidate -> peer
	counters counters

	mu       sync.Mutex // guards what follows
	peers    map[mesh.Key]*peer
	turn     uint64  // of SetPeers
	reserved sockets // opened by New, not yet taken up by Open
	port     uint16
	mark     uint32
	shut     bool

	socks atomic.Pointer[openSockets] // nil unless open; written under mu
}

// New checks cfg and opens the sockets, so that a taken port shows here and the
// port is known before WireGuard starts. Shutdown gives them back.
func New(cfg Config) (*Bind, error) {
	if cfg.PrivateKey.IsZero() {
		return nil, mesh.Errorf(mesh.Invalid, "underlay: no private key")
	}
	b, err := newBind(cfg, openUDP)
	if err != nil {
		return nil, err
	}
	b.reserved, err = b.open(cfg.ListenPort, b.logger)
	if err != nil {
		return nil, err
	}
	b.port = b.reserved.Port()
	return b, nil
}

func newBind(cfg Config, open openFunc) (*Bind, error) {
	o, err := newOpener(cfg.PrivateKey)
	if err != nil {
		return nil, err
	}
	b := &Bind{
		key:      cfg.PrivateKey.Public(),
		batch:    batchOf(cfg.Batch),
		logger:   cfg.Logger,
		onStray:  cfg.OnStray,
		pace:     cfg.Pace,
		private:  cfg.PrivateKey,
		open:     open,
		start:    time.Now().Add(-time.Nanosecond), // so that no moment is 0
		opener:   o,
		openings: rate.NewLimiter(openingsPerSecond, openingsAtOnce),
		reserve:  rate.NewLimiter(reservePerSecond, reserveAtOnce),
		peers:    map[mesh.Key]*peer{},
	}
	if b.pace == nil {
		b.pace = unpaced{}
	}
	if b.logger == nil {
		b.logger = slog.New(slog.DiscardHandler)
	}
	b.indices.init()
	b.byAddr.Store(&map[netip.AddrPort]*peer{})
	if cfg.Relay != nil {
		b.relay = newRelayed(cfg.Relay)
	}
	b.probes.init()
	b.stun, b.onMapped = reflexive.New(), cfg.OnMapped
	return b, nil
}

// batchOf is what the system can do, or less.
func batchOf(wanted int) int {
	if wanted <= 0 {
		return udp.BatchSize
	}
	return min(wanted, udp.BatchSize)
}

// now is a moment as the tables of this package keep it: nanoseconds since the
// start, never 0.
func (b *Bind) now() int64 { return int64(time.Since(b.start)) }

// when is the wall clock's view of a moment.
func (b *Bind) when(moment int64) time.Time {
	if moment == 0 {
		return time.Time{}
	}
	return b.start.Add(time.Duration(moment))
}

// LocalPort is the UDP port, the same over all Open and Close.
func (b *Bind) LocalPort() uint16 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.port
}

// Open implements conn.Bind. Port 0 means the port New got.
func (b *Bind) Open(port uint16) ([]conn.ReceiveFunc, uint16, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.shut {
		return nil, 0, net.ErrClosed
	}
	if b.socks.Load() != nil {
		return nil, 0, conn.ErrBindAlreadyOpen
	}
	if port == 0 {
		port = b.port
	}
	socks := b.reserved
	b.reserved = nil
	if socks != nil && socks.Port() != port {
		socks.Close()
		socks = nil
	}
	if socks == nil {
		var err error
		if socks, err = b.open(port, b.logger); err != nil {
			return nil, 0, err
		}
	}
	if b.mark != 0 {
		if err := socks.SetMark(b.mark); err != nil {
			socks.Close()
			return nil, 0, err
		}
	}
	b.port = socks.Port()
	open := &openSockets{socks, make(chan struct{})}
	b.socks.Store(open)
	return b.receivers(open), b.port, nil
}

// Close implements conn.Bind. WireGuard closes a bind before it first opens it;
// the sockets that New reserved survive that, so that nobody takes the port in
// between. Shutdown closes those too.
func (b *Bind) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if socks := b.socks.Swap(nil); socks != nil {
		close(socks.closed)
		return socks.Close()
	}
	return nil
}

// Shutdown closes everything for good; Open fails from then on. It may be called
// more than once, before or after the tunnel's Close.
func (b *Bind) Shutdown() error {
	err := b.Close()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.shut = true
	if b.reserved != nil {
		err = errors.Join(err, b.reserved.Close())
		b.reserved = nil
	}
	return err
}

// SetMark implements conn.Bind: SO_MARK on Linux, nothing elsewhere.
func (b *Bind) SetMark(mark uint32) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mark = mark
	if socks := b.socks.Load(); socks != nil {
		return socks.SetMark(mark)
	}
	return nil
}

// BatchSize implements conn.Bind.
func (b *Bind) BatchSize() int { return b.batch }

// ParseEndpoint implements conn.Bind: s is a peer's public key. Whether the peer
// is known shows when something is sent to it.
func (b *Bind) ParseEndpoint(s string) (conn.Endpoint, error) {
	key, err := mesh.ParseKey(s)
	if err != nil {
		return nil, mesh.Errorf(mesh.Invalid, "underlay: endpoint %q: %w", s, err)
	}
	return &endpoint{key: key}, nil
}

var _ conn.Bind = (*Bind)(nil)
