package tunnel

import (
	"bytes"
	"sync/atomic"
	"time"

	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"

	"nexd/internal/packet"
	"nexd/mesh"
)

const (
	// sessionLife is how long either side may take a session for good, and so how
	// long at least a peer is kept: WireGuard's REJECT_AFTER_TIME, and what two
	// handshakes under way may add. A peer dropped later loses nothing.
	sessionLife = 180*time.Second + 30*time.Second

	// deafIdle is how long a peer is kept that never answered. WireGuard gives up
	// after 90 s.
	deafIdle = 2 * time.Minute

	// patience bounds how long reading waits for a peer to be made, which takes a
	// fraction of a millisecond: somebody may be closing the device.
	patience = 10 * time.Second

	looks = 8 // at the peers within the time after which they are idle
)

// node is a member of the wanted set. The device has it while it is awake.
type node struct {
	key  mesh.Key
	turn uint64 // of SetPeers that named it; guarded by Tunnel.setting

	state atomic.Uint32 // changes with Tunnel.mu held
	used  atomic.Bool   // something was read for it since the last look

	// Guarded by Tunnel.mu.
	spec
	past  PeerStatus // what it did before it last fell asleep
	moved uint64     // bytes both ways at the last look
	since time.Time  // when that changed last
}

// States of a node.
const (
	asleep uint32 = iota
	awake
	gone // no longer in the set
)

// call asks the worker to wake somebody.
type call struct {
	n    *node
	done chan bool
}

// gate is the device below WireGuard. It sees to it that the peer a packet is for
// is there before WireGuard has the packet.
type gate struct {
	tun.Device
	t *Tunnel
}

// Read implements tun.Device.
func (g *gate) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	n, err := g.Device.Read(bufs, sizes, offset)
	g.t.rouse(bufs[:n], sizes, offset)
	return n, err
}

// Close implements tun.Device. WireGuard closes the device first and then waits
// for those who read, so nobody may wait for WireGuard any more.
func (g *gate) Close() error {
	select {
	case <-g.t.closing:
	default:
		close(g.t.closing)
	}
	return g.Device.Close()
}

// rouse wakes whom packets are for. A batch is mostly for one.
func (t *Tunnel) rouse(bufs [][]byte, sizes []int, offset int) {
	owners := t.owners.Load()
	var last []byte
	for i, buf := range bufs {
		dst := packet.Destination(buf[offset : offset+sizes[i]])
		if bytes.Equal(dst, last) {
			continue
		}
		last = dst
		n, ok := owners.LookupIP(dst)
		if !ok {
			continue
		}
		// First used, then state: drop does it the other way round, so that one of
		// the two sees the other.
		if !n.used.Load() {
			n.used.Store(true)
		}
		if n.state.Load() != awake {
			t.call(n)
		}
	}
}

// knock is called by the bind: somebody has authenticated itself.
func (t *Tunnel) knock(key mesh.Key) bool {
	n := (*t.nodes.Load())[key]
	if n == nil {
		return false
	}
	n.used.Store(true) // as in rouse
	return n.state.Load() == awake || t.call(n)
}

// call has the worker wake a node and waits for that. The callers are goroutines
// that the device waits for when it closes, so they never wait for its locks.
func (t *Tunnel) call(n *node) bool {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	c := call{n, make(chan bool, 1)}
	select {
	case t.calls <- c:
	case <-t.closing:
		return false
	case <-timer.C:
		return false
	}
	select {
	case ok := <-c.done:
		return ok
	case <-t.closing:
		return false
	case <-timer.C:
		return false
	}
}

// work wakes who is called, and looks for idle ones, until the device closes.
func (t *Tunnel) work(pause time.Duration) {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		select {
		case <-t.closing:
			return
		case c := <-t.calls:
			t.mu.Lock()
			c.done <- t.wake(c.n)
			t.mu.Unlock()
		case now := <-tick.C:
			t.dropIdle(now)
		}
	}
}

// wakeKey wakes a node, if there is one.
func (t *Tunnel) wakeKey(key mesh.Key) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := (*t.nodes.Load())[key]; n != nil {
		n.used.Store(true) // as in rouse
		t.wake(n)
	}
}

// wake makes the device have a node. The caller holds mu.
func (t *Tunnel) wake(n *node) bool {
	if s := n.state.Load(); s != asleep {
		return s == awake
	}
	t.logs.know(n.key)
	if err := t.dev.IpcSet(creation(n)); err != nil {
		t.logs.forget(n.key) // the device has logged why
		return false
	}
	n.moved, n.since = 0, time.Now()
	t.woken[n.key] = n
	n.state.Store(awake)
	return true
}

// Asleep says whether a peer of the set is not in the device.
func (t *Tunnel) Asleep(key mesh.Key) bool {
	n := (*t.nodes.Load())[key]
	return n != nil && n.state.Load() == asleep
}

// dropIdle drops the peers that are silent for long.
func (t *Tunnel) dropIdle(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.woken) == 0 {
		return
	}
	state, err := t.state()
	if err != nil {
		return // a device that is closing
	}
	for key, p := range state {
		n := t.woken[key]
		if n == nil {
			continue // on its way out of the set
		}
		if moved := p.status.Rx + p.status.Tx; n.used.Swap(false) || moved != n.moved {
			n.moved, n.since = moved, now
			continue
		}
		idle := t.idle
		if p.status.LastHandshake.IsZero() {
			idle = min(idle, deafIdle)
		}
		if !n.eager && now.Sub(n.since) >= idle && now.Sub(p.status.LastHandshake) >= t.session {
			t.drop(n, p.status)
		}
	}
}

// drop takes a node out of the device. It can wait for nothing that waits for us:
// without a session, nothing is on its way from or to the peer.
func (t *Tunnel) drop(n *node, last PeerStatus) {
	n.state.Store(asleep)
	if n.used.Load() {
		n.state.Store(awake)
		return
	}
	t.dev.RemovePeer(device.NoisePublicKey(n.key))
	t.doorman.Forget(n.key)
	t.logs.forget(n.key)
	last.add(n.past)
	n.past = last
}
