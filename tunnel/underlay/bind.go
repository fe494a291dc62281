package underlay

import (
	"cmp"
	"errors"
	"log/slog"
	"net/netip"
	"time"

	"golang.zx2c4.com/wireguard/conn"

	"nexd/mesh"
	"nexd/tunnel/reflexive"
	"nexd/tunnel/udp"
)

// ErrNoAddress is wrapped by the error of Send for a peer that has neither a path nor
// candidates.
var ErrNoAddress = errors.New("no address of it is known")

// Config is what a Bind needs. PrivateKey is required.
type Config struct {
	PrivateKey mesh.PrivateKey
	ListenPort uint16       // 0 = a free one
	Logger     *slog.Logger // nil = discard
	Batch      int          // packets in one read or send at most; 0 = the system's best
	MTU        int          // largest packet inside the mesh; 0 = mesh.DefaultMTU

	// OnStray, if set, learns of a peer that uses a session of an earlier life of this
	// node: data without a session came from one of the peer's candidates. Or the peer
	// sent an initiation that is older than one before, as when its clock went back. In
	// both cases tunnel.Initiate repairs the session. OnStray is called at most every 5 s
	// for a peer, on a receiving goroutine, and must return at once.
	OnStray func(mesh.Key)

	// Pace, if set, bounds the packets inside WireGuard.
	Pace Pace

	// Relay, if set, carries packets that cannot go directly. RelayUp reports when the
	// relay can be used, FromRelay takes the packets that come through it.
	Relay Relay

	// OnLargest, if set, learns of the size of the largest IP packet that WireGuard can send
	// by the path of a peer, whenever it changes; 0 = no limit below the MTU is known. It is
	// called without a lock held, and must return at once.
	OnLargest func(key mesh.Key, size int)

	// OnMapped, if set, learns of every new result of STUN. It is called on the goroutine
	// of Run and must return at once.
	OnMapped func(reflexive.Mapped)
}

// Pace counts the data packets inside WireGuard and may hold back more (tunnel/pace).
type Pace interface {
	Sent(packets int)     // Send is done with them, successful or not
	Received(packets int) // WireGuard got them
	Admitter() func()     // for one receiving goroutine, which calls it before it reads; may wait
}

// unpaced is the Pace of a bind without one.
type unpaced struct{}

func (unpaced) Sent(int)         {}
func (unpaced) Received(int)     {}
func (unpaced) Admitter() func() { return func() {} }

// Peer is a node that may talk to this one, and where it may be found.
type Peer struct {
	Key        mesh.Key
	Candidates []netip.AddrPort // best first; those beyond candidates.Max are ignored
}

// Bind is a conn.Bind over UDP that knows peers.
type Bind struct {
	key      mesh.Key
	private  mesh.PrivateKey
	batch    int
	start    time.Time
	logger   *slog.Logger
	pace     Pace
	onStray  func(mesh.Key)
	onMapped func(reflexive.Mapped)

	mtu       int
	onLargest func(mesh.Key, int)

	net        network
	relay      *relayPort // nil = none
	peers      peerSet
	indices    indexTable
	handshakes handshakes
	probes     probes
	stun       *reflexive.Client
	counters   counters
}

// New checks cfg and opens the sockets, so that a taken port shows here and the port is
// known before WireGuard starts. Shutdown closes them.
func New(cfg Config) (*Bind, error) {
	if cfg.PrivateKey.IsZero() {
		return nil, mesh.Errorf(mesh.Invalid, "underlay: no private key")
	}
	b, err := newBind(cfg, openUDP)
	if err != nil {
		return nil, err
	}
	if err := b.net.reserve(cfg.ListenPort); err != nil {
		return nil, err
	}
	return b, nil
}

func newBind(cfg Config, open openFunc) (*Bind, error) {
	b := &Bind{
		key:      cfg.PrivateKey.Public(),
		private:  cfg.PrivateKey,
		batch:    batchOf(cfg.Batch),
		start:    time.Now().Add(-time.Nanosecond), // so that no moment is 0
		logger:   cfg.Logger,
		pace:     cfg.Pace,
		onStray:  cfg.OnStray,
		onMapped: cfg.OnMapped,
		stun:     reflexive.New(),

		mtu:       cmp.Or(cfg.MTU, mesh.DefaultMTU),
		onLargest: cfg.OnLargest,
	}
	if b.pace == nil {
		b.pace = unpaced{}
	}
	if b.logger == nil {
		b.logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Relay != nil {
		b.relay = newRelayPort(cfg.Relay)
	}
	b.net.open, b.net.logger = open, b.logger
	b.peers.init()
	b.indices.init()
	b.probes.init()
	return b, b.handshakes.init(cfg.PrivateKey)
}

// batchOf is the wanted batch size, or the system's best if that is smaller.
func batchOf(wanted int) int {
	if wanted <= 0 {
		return udp.BatchSize
	}
	return min(wanted, udp.BatchSize)
}

// now is a moment as the tables of this package keep it: nanoseconds since the start,
// never 0.
func (b *Bind) now() int64 { return int64(time.Since(b.start)) }

// when is a moment on the wall clock.
func (b *Bind) when(moment int64) time.Time {
	if moment == 0 {
		return time.Time{}
	}
	return b.start.Add(time.Duration(moment))
}

// LocalPort is the UDP port. It stays the same over all Open and Close.
func (b *Bind) LocalPort() uint16 { return b.net.localPort() }

// Open implements conn.Bind. Port 0 means the port that New got.
func (b *Bind) Open(port uint16) ([]conn.ReceiveFunc, uint16, error) {
	socks, err := b.net.start(port)
	if err != nil {
		return nil, 0, err
	}
	return b.receivers(socks), socks.Port(), nil
}

// Close implements conn.Bind. WireGuard closes a bind before it first opens it; the
// sockets that New reserved survive that, so that nobody takes the port in between.
// Shutdown closes those, too.
func (b *Bind) Close() error { return b.net.stop() }

// Shutdown closes everything for good; Open fails from then on. It may be called more
// than once, before or after the tunnel's Close.
func (b *Bind) Shutdown() error { return b.net.shutdown() }

// SetMark implements conn.Bind: SO_MARK on Linux, nothing elsewhere.
func (b *Bind) SetMark(mark uint32) error { return b.net.setMark(mark) }

// BatchSize implements conn.Bind.
func (b *Bind) BatchSize() int { return b.batch }

// ParseEndpoint implements conn.Bind: s is a peer's public key. Send fails if there is no
// such peer.
func (b *Bind) ParseEndpoint(s string) (conn.Endpoint, error) {
	key, err := mesh.ParseKey(s)
	if err != nil {
		return nil, mesh.Errorf(mesh.Invalid, "underlay: endpoint %q: %w", s, err)
	}
	return &endpoint{key: key}, nil
}

var _ conn.Bind = (*Bind)(nil)
