package tunnel

import (
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"

	"nexd/internal/lpm"
	"nexd/mesh"
)

// DefaultIdle is how long a peer is kept that nothing is sent to and nothing comes
// from.
const DefaultIdle = 10 * time.Minute

// Config says what a Tunnel is made of. All but Idle and Logger are required.
type Config struct {
	PrivateKey mesh.PrivateKey
	Device     tun.Device    // where packets of the mesh come from and go to
	Bind       conn.Bind     // takes a public key as endpoint, as underlay.Bind does; see Doorman
	Idle       time.Duration // after which a silent peer is dropped; 0 = DefaultIdle
	Logger     *slog.Logger  // nil = discard
}

// Doorman is a bind that knows who is about to speak to WireGuard. With another
// kind of bind every peer is in the device all the time.
type Doorman interface {
	// OnKnock sets what is called, before the bind is first opened, with the key of
	// an authenticated initiation. The initiation is handed on if it says true: then
	// the device has the peer. It may take a moment; any goroutine may call it.
	OnKnock(func(mesh.Key) bool)

	// Forget is told of a peer that the device has no longer. What is known of its
	// sessions and paths may go, where it was last may stay.
	Forget(mesh.Key)
}

// Tunnel is a running WireGuard device.
type Tunnel struct {
	key     mesh.Key
	dev     *device.Device
	logs    *deviceLog
	doorman Doorman                          // nil: every peer is always awake
	owners  atomic.Pointer[lpm.Table[*node]] // who has which address
	calls   chan call
	closing chan struct{} // closed by the device before it waits for anybody
	worker  sync.WaitGroup

	nodes   atomic.Pointer[map[mesh.Key]*node] // the set; a map does not change once here
	setting sync.Mutex                         // held by SetPeers from beginning to end; guards what follows
	set     bool                               // the device has the set
	turn    uint64                             // of SetPeers

	mu      sync.Mutex         // held while the device's peers are changed; guards what follows
	woken   map[mesh.Key]*node // those of the set that are or were awake
	idle    time.Duration      // how long a silent peer is kept
	session time.Duration      // how long a peer with a session is
}

// New starts WireGuard and brings it up. It owns cfg.Device from then on and
// closes it with itself, and when it fails. cfg.Bind is opened and closed by it,
// but stays the caller's to shut down.
func New(cfg Config) (*Tunnel, error) {
	switch {
	case cfg.PrivateKey.IsZero():
		return nil, mesh.Errorf(mesh.Invalid, "tunnel: no private key")
	case cfg.Device == nil || cfg.Bind == nil:
		return nil, mesh.Errorf(mesh.Invalid, "tunnel: device or bind missing")
	case cfg.Idle < 0:
		return nil, mesh.Errorf(mesh.Invalid, "tunnel: idle time %v is below 0", cfg.Idle)
	case cfg.Idle == 0:
		cfg.Idle = DefaultIdle
	}
	t := &Tunnel{
		key: cfg.PrivateKey.Public(), logs: newDeviceLog(cfg.Logger), idle: cfg.Idle, session: sessionLife,
		calls: make(chan call), closing: make(chan struct{}), woken: map[mesh.Key]*node{},
	}
	t.nodes.Store(&map[mesh.Key]*node{})
	t.owners.Store(new(lpm.Table[*node]))
	dev := cfg.Device
	if d, ok := cfg.Bind.(Doorman); ok {
		t.doorman = d
		d.OnKnock(t.knock)
		dev = &gate{Device: dev, t: t}
	}
	t.dev = device.NewDevice(dev, cfg.Bind, t.logs.logger())
	if err := t.dev.IpcSet("private_key=" + cfg.PrivateKey.Hex() + "\n"); err != nil {
		t.dev.Close()
		return nil, mesh.Errorf(mesh.Internal, "tunnel: private key: %w", err)
	}
	if t.doorman != nil {
		t.worker.Go(func() { t.work(max(cfg.Idle/looks, time.Millisecond)) })
	}
	if err := t.dev.Up(); err != nil {
		t.Close()
		return nil, mesh.Errorf(mesh.KindOf(err), "tunnel: bring up: %w", err)
	}
	return t, nil
}

// Initiate starts a handshake with each of the peers now, unless one was begun
// within the last 5 s. Unknown keys are ignored. It takes some 0.1 ms per peer.
func (t *Tunnel) Initiate(keys ...mesh.Key) {
	for _, key := range keys {
		t.wakeKey(key)
		if p := t.dev.LookupPeer(device.NoisePublicKey(key)); p != nil {
			_ = p.SendHandshakeInitiation(false) // logged by the device, tried again by it
		}
	}
}

// Done is closed when the device has ended: after Close, or when reading from
// Config.Device failed.
func (t *Tunnel) Done() <-chan struct{} { return t.dev.Wait() }

// Close ends all goroutines, closes Config.Device and the bind's sockets. It may
// be called more than once.
func (t *Tunnel) Close() {
	t.dev.Close()
	t.worker.Wait()
}

// PeerStatus is what WireGuard knows of a peer.
type PeerStatus struct {
	Key           mesh.Key
	LastHandshake time.Time // zero if there was none
	Rx, Tx        uint64    // bytes, WireGuard's overhead included
	Asleep        bool      // the device has no such peer now; it had
}

// Peers is the state of every peer that the device has or had, in no particular
// order. Those of the set that never were needed are absent.
func (t *Tunnel) Peers() ([]PeerStatus, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	state, err := t.state()
	if err != nil {
		return nil, err
	}
	out := make([]PeerStatus, 0, len(state))
	for key, n := range t.woken {
		s := PeerStatus{Key: key, Asleep: true}
		if p := state[key]; p != nil {
			s = p.status
		}
		s.add(n.past)
		out = append(out, s)
	}
	return out, nil
}

// add joins an earlier life of a peer to this one.
func (s *PeerStatus) add(past PeerStatus) {
	s.Rx, s.Tx = s.Rx+past.Rx, s.Tx+past.Tx
	if s.LastHandshake.IsZero() {
		s.LastHandshake = past.LastHandshake
	}
}

// state asks the device what it has.
func (t *Tunnel) state() (map[mesh.Key]*peerState, error) {
	text, err := t.dev.IpcGet()
	if err != nil {
		return nil, fmt.Errorf("tunnel: read the device's state: %w", err)
	}
	peers, err := parseState(text)
	if err != nil {
		return nil, fmt.Errorf("tunnel: read the device's state: %w", err)
	}
	return peers, nil
}
