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

// DefaultIdle is how long the device keeps a peer without traffic.
const DefaultIdle = 10 * time.Minute

// Config is what a Tunnel needs. All but Idle and Logger are required.
type Config struct {
	PrivateKey mesh.PrivateKey
	Device     tun.Device    // carries the mesh's packets
	Bind       conn.Bind     // takes a public key as endpoint, like underlay.Bind; see PeerBind
	Idle       time.Duration // how long the device keeps a peer without traffic; 0 = DefaultIdle
	Logger     *slog.Logger  // nil = discard
}

// PeerBind is a bind that authenticates initiations before WireGuard gets them. With any
// other bind every peer is in the device all the time.
type PeerBind interface {
	// OnInitiation sets the function that the bind calls with the key of each authenticated
	// initiation, on any goroutine. It is set before the bind is first opened. When it
	// returns true, the device has the peer, and the bind passes the initiation on;
	// otherwise the bind drops it. The function may take a moment.
	OnInitiation(func(mesh.Key) bool)

	// Forget reports that the device no longer has a peer. The bind may forget the peer's
	// sessions and paths.
	Forget(mesh.Key)
}

// Tunnel is a running WireGuard device.
type Tunnel struct {
	key      mesh.Key
	dev      *device.Device
	logs     *deviceLog
	peerBind PeerBind                         // nil: every peer is awake all the time
	owners   atomic.Pointer[lpm.Table[*node]] // address -> node
	requests chan wakeRequest
	closing  chan struct{} // closed by the device before it waits for its goroutines
	worker   sync.WaitGroup

	nodes   atomic.Pointer[map[mesh.Key]*node] // the set; a stored map never changes
	setting sync.Mutex                         // held during SetPeers; guards what follows
	set     bool                               // the device has the set
	turn    uint64                             // of SetPeers

	mu      sync.Mutex         // held while the device's peers change; guards what follows
	woken   map[mesh.Key]*node // nodes of the set that are or were awake
	idle    time.Duration      // how long the device keeps a peer without traffic
	session time.Duration      // … and one with a session
}

// New starts WireGuard and brings it up. The Tunnel owns cfg.Device: Close closes it, and
// so does a New that fails. The Tunnel opens and closes cfg.Bind; shutting it down is the
// caller's job.
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
		key: cfg.PrivateKey.Public(), logs: newDeviceLog(cfg.Logger), idle: cfg.Idle, session: sessionLifetime,
		requests: make(chan wakeRequest), closing: make(chan struct{}), woken: map[mesh.Key]*node{},
	}
	t.nodes.Store(&map[mesh.Key]*node{})
	t.owners.Store(new(lpm.Table[*node]))
	dev := cfg.Device
	if d, ok := cfg.Bind.(PeerBind); ok {
		t.peerBind = d
		d.OnInitiation(t.onInitiation)
		dev = &onDemand{Device: dev, t: t}
	}
	t.dev = device.NewDevice(dev, cfg.Bind, t.logs.logger())
	if err := t.dev.IpcSet("private_key=" + cfg.PrivateKey.Hex() + "\n"); err != nil {
		t.dev.Close()
		return nil, mesh.Errorf(mesh.Internal, "tunnel: private key: %w", err)
	}
	if t.peerBind != nil {
		t.worker.Go(func() { t.work(max(cfg.Idle/idleChecks, time.Millisecond)) })
	}
	if err := t.dev.Up(); err != nil {
		t.Close()
		return nil, mesh.Errorf(mesh.KindOf(err), "tunnel: bring up: %w", err)
	}
	return t, nil
}

// Initiate starts a handshake with each of the peers, unless one started within the last
// 5 s. It ignores unknown keys and takes some 0.1 ms per peer.
func (t *Tunnel) Initiate(keys ...mesh.Key) {
	for _, key := range keys {
		t.wakeKey(key)
		if p := t.dev.LookupPeer(device.NoisePublicKey(key)); p != nil {
			_ = p.SendHandshakeInitiation(false) // the device logs the error and tries again
		}
	}
}

// Done is closed when the device has ended: after Close, or when reading from
// Config.Device failed.
func (t *Tunnel) Done() <-chan struct{} { return t.dev.Wait() }

// Close ends all goroutines and closes Config.Device and the bind's sockets. It may be
// called more than once.
func (t *Tunnel) Close() {
	t.dev.Close()
	t.worker.Wait()
}

// PeerStatus is WireGuard's state of a peer.
type PeerStatus struct {
	Key           mesh.Key
	LastHandshake time.Time // zero if there was none
	Rx, Tx        uint64    // bytes, WireGuard's overhead included
	Asleep        bool      // the device had the peer and removed it
}

// Peers is the state of every peer that the device has or had, in no particular order. It
// leaves out peers of the set that were never needed.
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

// add adds the sums of a peer's earlier lives.
func (s *PeerStatus) add(past PeerStatus) {
	s.Rx, s.Tx = s.Rx+past.Rx, s.Tx+past.Tx
	if s.LastHandshake.IsZero() {
		s.LastHandshake = past.LastHandshake
	}
}

// state asks the device for its peers.
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
