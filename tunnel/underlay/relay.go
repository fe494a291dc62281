package underlay

import (
	"net/netip"
	"sync/atomic"
	"time"

	"nexd/internal/sealed"
	"nexd/mesh"
	"nexd/tunnel/arrived"
	"nexd/tunnel/disco"
	"nexd/tunnel/paths"
)

// Relay carries packets to a node through a third party that both nodes reach.
type Relay interface {
	// Send sends packets in their order. It waits for nothing but the host's own socket and
	// keeps no reference to them. Packets may be lost.
	Send(to mesh.Key, packets ...[]byte) error
}

// relayPort is the bind's end of the relay: a sender, and a queue of received packets.
type relayPort struct {
	relay Relay
	up    atomic.Bool
	arrivals
}

func newRelayPort(r Relay) *relayPort { return &relayPort{relay: r, arrivals: newArrivals()} }

// send sends packets through the relay; r may be nil.
func (r *relayPort) send(to mesh.Key, bufs [][]byte) error {
	if r == nil {
		return mesh.Errorf(mesh.Unavailable, "underlay: send to peer %v: no relay", to.Short())
	}
	if err := r.relay.Send(to, bufs...); err != nil {
		return mesh.Errorf(mesh.Unavailable, "underlay: send to peer %v through the relay: %w", to.Short(), err)
	}
	return nil
}

// RelayUp reports whether the relay can be used. It may be called from any goroutine.
func (b *Bind) RelayUp(up bool) {
	if b.relay == nil || b.relay.up.Swap(up) == up {
		return
	}
	for _, p := range b.peers.all() {
		b.step(p, func(pp *paths.Peer, now time.Duration) []paths.Action { return pp.SetRelay(now, b.relay.up.Load()) })
	}
}

// FromRelay takes packets that came through the relay from a peer, as the relay claims. It
// drops a packet that shows another sender. It keeps no reference to the packets, and waits
// only a moment for room in the queue to WireGuard.
func (b *Bind) FromRelay(from mesh.Key, packets ...[]byte) {
	if b.relay == nil {
		return
	}
	p := b.peer(from)
	if p == nil {
		b.counters.unknownKey.Add(uint64(len(packets)))
		return
	}
	now, a := b.now(), b.relay.arrival(p.viaRelay)
	var batch arrived.Batch
	for _, packet := range packets {
		if disco.Is(packet) {
			b.fromDisco(packet, netip.AddrPort{}, netip.Addr{}, p, now)
		} else if b.fromRelay(p, packet, now) {
			a.add(packet)
			if packet[0] == sealed.Data {
				batch.Relayed(len(packet))
			}
		}
	}
	b.arrived(p, &batch, now)
	n := uint64(len(a.sizes))
	if n == 0 {
		b.relay.recycle(a)
		return
	}
	p.viaRelay.heard.Store(now)
	if b.relay.put(a) {
		b.counters.attributed.Add(n)
	} else {
		b.counters.relayFull.Add(n)
	}
}

// fromRelay reports whether a packet is p's.
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
	case !b.handshakes.opener.checkMAC1(packet):
		b.counters.badMAC.Add(1)
		return false
	case b.handshakes.seen.has(mac1):
		b.counters.duplicates.Add(1)
		return false
	case !b.handshakes.openings.Allow() && !b.handshakes.reserve.Allow(): // the relay has authenticated the sender
		b.counters.deferred.Add(1)
		return false
	}
	m, ok := b.handshakes.opener.open(packet)
	if !ok || m.key != p.key {
		b.counters.badInitiation.Add(1)
		return false
	}
	return b.letIn(p, &m, packet)
}
