package tunnel

import (
	"time"

	"golang.zx2c4.com/wireguard/device"

	"nexd/mesh"
)

// Keep sets how long a silent peer is kept, and one with a session; how often that
// is looked at stays.
func (t *Tunnel) Keep(idle, session time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.idle, t.session = idle, session
}

// DropIdle checks for idle peers as of a moment.
func (t *Tunnel) DropIdle(now time.Time) { t.dropIdle(now) }

// InDevice is how many peers the device has.
func (t *Tunnel) InDevice() int {
	state, err := t.state()
	if err != nil {
		return -1
	}
	return len(state)
}

// Expire makes the session with a peer as old as it gets.
func (t *Tunnel) Expire(key mesh.Key) {
	if p := t.dev.LookupPeer(device.NoisePublicKey(key)); p != nil {
		p.ExpireCurrentKeypairs()
	}
}
