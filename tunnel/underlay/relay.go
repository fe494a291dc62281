package underlay

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.zx2c4.com/wireguard/conn"

	"nexd/internal/sealed"
	"nexd/mesh"
	"nexd/tunnel/disco"
	"nexd/tunnel/paths"
)

// Relay carries packets to a node by way of a third party that both reach.
type Relay interface {
	// Send hands a packet over. It does not wait for anything and keeps nothing of
	// packet; that the packet arrives is not promised.
	Send(to mesh.Key, packet []byte) error
}

const (
	relayQueue  = 512  // packets that wait for WireGuard
	relayPacket = 2048 // what one may have; the inner MTU is far below
)

// relayed is the relay's side of a bind: what is sent there, and a queue of what
// came from there.
type relayed struct {
	relay   Relay
	up      atomic.Bool
	queue   chan arrival
	buffers sync.Pool // of *[relayPacket]byte
}

type arrival struct {
	buf  *[relayPacket]byte
	size int
	from *endpoint
}

func newRelayed(r Relay) *relayed {
	x := &relayed{relay: r, queue: make(chan arrival, relayQueue)}
	x.buffers.New = func() any { return new([relayPacket]byte) }
	return x
}

// send hands packets over; r may be nil.
func (r *relayed) send(to mesh.Key, bufs [][]byte) error {
	if r == nil {
		return mesh.Errorf(mesh.Unavailable, "underlay: send to peer %v: no relay", to.Short())
	}
	for _, buf := range bufs {
		if err := r.relay.Send(to, buf); err != nil {
			return mesh.Errorf(mesh.Unavailable, "underlay: send to peer %v through the relay: %w", to.Short(), err)
		}
	}
	return nil
}

// receive is a conn.ReceiveFunc over the queue.
func (r *relayed) receive(closed <-chan struct{}, bufs [][]byte, sizes []int, eps []conn.Endpoint) (int, error) {
	var a arrival
	select {
	case <-closed:
		return 0, net.ErrClosed
	case a = <-r.queue:
	}
	for n := 0; ; {
		sizes[n], eps[n] = copy(bufs[n], a.buf[:a.size]), a.from
		r.buffers.Put(a.buf)
		if n++; n == len(bufs) {
			return n, nil
		}
		select {
		case a = <-r.queue:
		default:
			return n, nil
		}
	}
}

// RelayUp says whether the relay can be used. It may be called from any goroutine.
func (b *Bind) RelayUp(up bool) {
	if b.relay == nil || b.relay.up.Swap(up) == up {
		return
	}
	if up {
		b.askThroughRelay()
	}
	b.eachProber(func(p *paths.Peer, now time.Duration) []paths.Action { return p.SetRelay(now, up) })
}

// FromRelay takes a packet that came through the relay from a peer, as the relay
// says; a packet that shows another sender is dropped. It does not wait and does
// not keep packet.
func (b *Bind) FromRelay(from mesh.Key, packet []byte) {
	if b.relay == nil {
		return
	}
	p := b.peer(from)
	if p == nil {
		b.counters.unknownKey.Add(1)
		if t := sealed.Type(packet); t == sealed.Initiation && b.onUnknown != nil && b.opener.checkMAC1(packet) {
			b.onUnknown(from)
		}
		return
	}
	now := b.now()
	if disco.Is(packet) {
		b.fromDisco(packet, netip.AddrPort{}, p, now)
		return
	}
	if !b.fromRelay(p, packet, now) {
		return
	}
	p.relayed.heard.Store(now)
	buf := b.relay.buffers.Get().(*[relayPacket]byte)
	select {
	case b.relay.queue <- arrival{buf, copy(buf[:], packet), p.relayed}:
		b.counters.attributed.Add(1)
		if sealed.Type(packet) == sealed.Data && len(packet) > sealed.DataMinSize {
			b.pace.Received(1)
		}
	default:
		b.relay.buffers.Put(buf)
		b.counters.relayFull.Add(1)
	}
}

// fromRelay says whether a packet is p's.
func (b *Bind) fromRelay(p *peer, packet []byte, now int64) bool {
	t := sealed.Type(packet)
	switch {
	case t == 0 || len(packet) > relayPacket:
		b.counters.malformed.Add(1)
		return false
	case t == sealed.Initiation:
		return b.initiationFromRelay(p, packet)
	}
	entry, ok := b.indices.lookup(receiverIndex(t, packet), now)
	switch {
	case !ok:
		b.counters.unknownIndex.Add(1)
		if t == sealed.Data {
			b.report(p, now)
		}
	case entry.p != p:
		b.counters.malformed.Add(1)
	case t == sealed.Response:
		p.rtt.Store(now - entry.at)
		return b.firstResponse(packet)
	}
	return ok && entry.p == p
}

func (b *Bind) initiationFromRelay(p *peer, packet []byte) bool {
	mac1 := mac1Of(packet)
	switch {
	case !b.opener.checkMAC1(packet):
		b.counters.badMAC.Add(1)
		return false
	case b.copies.has(mac1):
		b.counters.copies.Add(1)
		return false
	case !b.openings.Allow():
		b.counters.deferred.Add(1)
		return false
	}
	if key, ok := b.opener.open(packet); !ok || key != p.key {
		b.counters.badInitiation.Add(1)
		return false
	}
	return b.firstCopy(mac1)
}
