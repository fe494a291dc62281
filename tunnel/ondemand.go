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
	// rejectAfterTime is WireGuard's limit for data on a session.
	rejectAfterTime = 180 * time.Second

	// sessionLifetime is how long either side may use a session: rejectAfterTime, and what
	// two handshakes under way may add. Removing a peer later loses nothing.
	sessionLifetime = rejectAfterTime + 30*time.Second

	// unansweredIdle is how long the device keeps a peer that never answered. WireGuard
	// gives up after 90 s.
	unansweredIdle = 2 * time.Minute

	// wakeTimeout bounds how long a reader waits for a peer. Making a peer takes a fraction
	// of a millisecond, but the device may be closing.
	wakeTimeout = 10 * time.Second

	idleChecks = 8 // checks within the time after which a peer is idle
)

// node is a peer of the set. The device has it while it is awake.
type node struct {
	key  mesh.Key
	turn uint64 // of SetPeers that named it; guarded by Tunnel.setting

	state atomic.Uint32 // changes with Tunnel.mu held
	used  atomic.Bool   // a packet for it was read since the last check

	// Guarded by Tunnel.mu.
	spec
	past  PeerStatus // sums of its earlier lives in the device
	moved uint64     // bytes both ways at the last check
	since time.Time  // moment moved changed last
}

// States of a node.
const (
	asleep uint32 = iota
	awake
	gone // no longer in the set
)

// wakeRequest asks the worker to wake a node.
type wakeRequest struct {
	n    *node
	done chan bool
}

// onDemand is the TUN device that WireGuard reads. It has the destination's peer made
// before WireGuard gets the packet.
type onDemand struct {
	tun.Device
	t *Tunnel
}

// Read implements tun.Device.
func (g *onDemand) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	n, err := g.Device.Read(bufs, sizes, offset)
	g.t.wakeDestinations(bufs[:n], sizes, offset)
	return n, err
}

// Close implements tun.Device. WireGuard closes the device first and then waits for its
// readers, so no reader may wait for WireGuard any more.
func (g *onDemand) Close() error {
	select {
	case <-g.t.closing:
	default:
		close(g.t.closing)
	}
	return g.Device.Close()
}

// wakeDestinations wakes the nodes that packets are for. A batch is mostly for one node.
func (t *Tunnel) wakeDestinations(bufs [][]byte, sizes []int, offset int) {
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
		// First used, then state: drop accesses them in the other order, so that one of
		// the two notices the other.
		if !n.used.Load() {
			n.used.Store(true)
		}
		if n.state.Load() != awake {
			t.requestWake(n)
		}
	}
}

// onInitiation takes the key of an authenticated initiation from the bind.
func (t *Tunnel) onInitiation(key mesh.Key) bool {
	n := (*t.nodes.Load())[key]
	if n == nil {
		return false
	}
	n.used.Store(true) // as in wakeDestinations
	return n.state.Load() == awake || t.requestWake(n)
}

// requestWake has the worker wake a node and waits for it. The device waits for the
// calling goroutines when it closes, so they must not wait for the device's locks.
func (t *Tunnel) requestWake(n *node) bool {
	timer := time.NewTimer(wakeTimeout)
	defer timer.Stop()
	c := wakeRequest{n, make(chan bool, 1)}
	select {
	case t.requests <- c:
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

// work wakes nodes on request and drops idle ones, until the device closes.
func (t *Tunnel) work(pause time.Duration) {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		select {
		case <-t.closing:
			return
		case c := <-t.requests:
			t.mu.Lock()
			c.done <- t.wake(c.n)
			t.mu.Unlock()
		case now := <-tick.C:
			t.dropIdle(now)
		}
	}
}

// wakeKey wakes the node with a key, if there is one.
func (t *Tunnel) wakeKey(key mesh.Key) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := (*t.nodes.Load())[key]; n != nil {
		n.used.Store(true) // as in wakeDestinations
		t.wake(n)
	}
}

// wake adds a node to the device. The caller holds mu.
func (t *Tunnel) wake(n *node) bool {
	if s := n.state.Load(); s != asleep {
		return s == awake
	}
	t.logs.know(n.key)
	if err := t.dev.IpcSet(creation(n)); err != nil {
		t.logs.forget(n.key) // the device has logged the reason
		return false
	}
	n.moved, n.since = 0, time.Now()
	t.woken[n.key] = n
	n.state.Store(awake)
	return true
}

// Asleep reports whether a peer is in the set but not in the device.
func (t *Tunnel) Asleep(key mesh.Key) bool {
	n := (*t.nodes.Load())[key]
	return n != nil && n.state.Load() == asleep
}

// dropIdle removes idle peers from the device.
func (t *Tunnel) dropIdle(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.woken) == 0 {
		return
	}
	state, err := t.state()
	if err != nil {
		return // the device is closing
	}
	for key, p := range state {
		n := t.woken[key]
		if n == nil {
			continue // SetPeers is removing it
		}
		if moved := p.status.Rx + p.status.Tx; n.used.Swap(false) || moved != n.moved {
			n.moved, n.since = moved, now
			continue
		}
		idle := t.idle
		if p.status.LastHandshake.IsZero() {
			idle = min(idle, unansweredIdle)
		}
		if !n.eager && now.Sub(n.since) >= idle && now.Sub(p.status.LastHandshake) >= t.session {
			t.drop(n, p.status)
		}
	}
}

// drop removes a node from the device. It cannot deadlock: without a session, no packet is
// on its way from or to the peer.
func (t *Tunnel) drop(n *node, last PeerStatus) {
	n.state.Store(asleep)
	if n.used.Load() {
		n.state.Store(awake)
		return
	}
	t.dev.RemovePeer(device.NoisePublicKey(n.key))
	t.peerBind.Forget(n.key)
	t.logs.forget(n.key)
	last.add(n.past)
	n.past = last
}
