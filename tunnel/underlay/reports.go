package underlay

import (
	"net/netip"

	"nexd/mesh"
	"nexd/tunnel/arrived"
	"nexd/tunnel/disco"
	"nexd/tunnel/paths"
)

// count counts data packets of one size that came directly. Packets of one batch are mostly of one
// peer.
func (r *receiver) count(e *endpoint, size int, packets uint32, now int64) {
	if packets == 0 {
		return
	}
	if p := e.owner.Load(); p != r.of {
		r.arrivedFrom(p, now)
	}
	r.arrived.Direct(size, packets)
}

// arrivedFrom ends the batch of one peer and begins that of another.
func (r *receiver) arrivedFrom(next *peer, now int64) {
	if r.of != nil {
		r.b.arrived(r.of, &r.arrived, now)
	}
	r.of = next
}

// arrived notes data packets of a peer, and reports them to it if a report is due.
func (b *Bind) arrived(p *peer, batch *arrived.Batch, now int64) {
	if !p.received.Add(batch) || !p.reports.Load() || !p.received.Due(now) {
		return
	}
	socks, pr, r := b.net.socks.Load(), p.prober.Load(), p.route.Load()
	if socks == nil || pr == nil || r == nil {
		return
	}
	m := p.report(b)
	if r.direct != nil {
		b.sendSealed(socks, p, pr, m, r.direct.addr)
	}
	if r.relay {
		b.sendSealed(socks, p, pr, m, netip.AddrPort{})
	}
}

// report is what a report to the peer says now.
func (p *peer) report(b *Bind) disco.Message {
	m := disco.Message{Kind: disco.Report}
	m.Arrived, m.Largest = p.received.Report()
	b.counters.reportsSent.Add(1)
	return m
}

// sendReport sends a report unless one was sent within the last second.
func (b *Bind) sendReport(socks sockets, p *peer, pr *prober, to netip.AddrPort) error {
	if !p.received.Due(b.now()) {
		return nil
	}
	return b.sendSealed(socks, p, pr, p.report(b), to)
}

// sendSealed sends a report to an address, or through the relay if that is invalid.
func (b *Bind) sendSealed(socks sockets, p *peer, pr *prober, m disco.Message, to netip.AddrPort) error {
	m.Time, m.Relayed = b.probes.time(), !to.IsValid()
	packet := pr.pair.Seal(m)
	if m.Relayed {
		return b.relay.send(p.key, [][]byte{packet})
	}
	return b.sendOne(socks, p, packet, to)
}

// sendSized sends one probe in the size and form of data, or a run of two.
func (b *Bind) sendSized(socks sockets, p *peer, pr *prober, a paths.Action) error {
	if a.To.Addr().IsLoopback() && a.To.Port() == socks.Port() {
		return nil // this node itself
	}
	packets := make([][]byte, 0, 2)
	for _, tx := range []paths.TxID{a.Tx, a.Twin} {
		if tx != (paths.TxID{}) {
			packets = append(packets, pr.pair.Seal(disco.Message{Kind: disco.Sized, Tx: disco.TxID(tx), Time: b.probes.time(), Size: a.Size}))
		}
	}
	return b.sendTo(socks, packets, p.cached(a.To), false)
}

// Largest is the size of the largest packet inside the mesh that the path to a peer carries; 0 = no
// limit below the MTU is known.
func (b *Bind) Largest(key mesh.Key) int {
	p := b.peer(key)
	if p == nil {
		return 0
	}
	p.way.mu.Lock()
	defer p.way.mu.Unlock()
	return p.way.largest
}
