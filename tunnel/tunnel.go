package tunnel

import (
	"fmt"
	"log/slog"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"

	"nexd/mesh"
)

// Config says what a Tunnel is made of. All but Logger are required.
type Config struct {
	PrivateKey mesh.PrivateKey
	Device     tun.Device   // where packets of the mesh come from and go to
	Bind       conn.Bind    // takes a public key as endpoint, as underlay.Bind does
	Logger     *slog.Logger // nil = discard
}

// Tunnel is a running WireGuard device.
type Tunnel struct {
	key  mesh.Key
	dev  *device.Device
	logs *deviceLog
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
	}
	logs := newDeviceLog(cfg.Logger)
	t := &Tunnel{key: cfg.PrivateKey.Public(), logs: logs}
	t.dev = device.NewDevice(cfg.Device, cfg.Bind, logs.logger())
	if err := t.dev.IpcSet("private_key=" + cfg.PrivateKey.Hex() + "\n"); err != nil {
		t.dev.Close()
		return nil, mesh.Errorf(mesh.Internal, "tunnel: private key: %w", err)
	}
	if err := t.dev.Up(); err != nil {
		t.dev.Close()
		return nil, mesh.Errorf(mesh.KindOf(err), "tunnel: bring up: %w", err)
	}
	return t, nil
}

// Initiate starts a handshake with each of the peers now, unless one was begun
// within the last 5 s. Unknown keys are ignored. It takes some 0.1 ms per peer.
func (t *Tunnel) Initiate(keys ...mesh.Key) {
	for _, key := range keys {
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
func (t *Tunnel) Close() { t.dev.Close() }

// PeerStatus is what WireGuard knows of a peer.
type PeerStatus struct {
	Key           mesh.Key
	LastHandshake time.Time // zero if there was none
	Rx, Tx        uint64    // bytes, WireGuard's overhead included
}

// Peers is the state of every peer, in no particular order.
func (t *Tunnel) Peers() ([]PeerStatus, error) {
	peers, err := t.state()
	if err != nil {
		return nil, err
	}
	out := make([]PeerStatus, 0, len(peers))
	for _, p := range peers {
		out = append(out, p.status)
	}
	return out, nil
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
