package underlay

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.zx2c4.com/wireguard/conn"

	"nexd/internal/sealed"
	"nexd/mesh"
	"nexd/tunnel/paths"
)

// plainFor is how long a path gets no segmentation offload after it refused a run.
const plainFor = int64(time.Minute)

// Send implements conn.Bind. The packets of one call are for one peer; a handshake message
// comes alone. An error concerns these packets only: the next Send may succeed.
func (b *Bind) Send(bufs [][]byte, ep conn.Endpoint) error {
	e, ok := ep.(*endpoint)
	if !ok {
		return conn.ErrWrongEndpointType
	}
	socks := b.net.socks.Load()
	switch {
	case socks == nil:
		return net.ErrClosed
	case len(bufs) == 0:
		return nil
	}
	t := sealed.Type(bufs[0])
	if t == sealed.Data {
		defer b.pace.Sent(len(bufs))
	}
	if t == sealed.Cookie { // answers a message that is not authenticated
		if e.relay {
			return b.relay.send(e.key, bufs)
		}
		return b.sendTo(socks, bufs, e, false)
	}
	p := b.owner(e)
	if p == nil {
		return mesh.Errorf(mesh.NotFound, "underlay: send to %v: no such peer", e.DstToString())
	}
	if (e.addr.IsValid() || e.relay) && p.sources.current.Load() != e {
		b.moved(p, e)
	}
	repeated := false
	switch t {
	case sealed.Initiation:
		return b.initiate(socks, p, e, bufs[0])
	case sealed.Response:
		b.indices.record(p, senderIndex(bufs[0]), b.now())
		repeated = p.respond(b.now())
	}
	if !e.addr.IsValid() && !e.relay {
		if e = p.sources.current.Load(); e == nil {
			return b.noAddress(p)
		}
	}
	b.touch(p)
	if r := p.route.Load(); r != nil {
		return b.sendBy(socks, p, r, e, t, repeated, bufs)
	}
	if e.relay {
		p.sentByRelay(t, bufs)
		return b.relay.send(p.key, bufs)
	}
	return b.sendDirect(socks, p, bufs, e, t, false)
}

// sendDirect sends to an address of a peer, and counts data.
func (b *Bind) sendDirect(socks sockets, p *peer, bufs [][]byte, e *endpoint, t uint32, plain bool) error {
	if t == sealed.Data {
		p.sent.Direct(bufs, !plain)
	}
	return b.sendTo(socks, bufs, e, plain)
}

func (p *peer) sentByRelay(t uint32, bufs [][]byte) {
	if t == sealed.Data {
		p.sent.Relayed(bufs)
	}
}

// sendBy sends by the route. A response also goes to the source of the initiation,
// because nothing proves that the route leads to the peer; with repeated, when the response
// before seems lost, it goes through the relay, too.
func (b *Bind) sendBy(socks sockets, p *peer, r *route, e *endpoint, t uint32, repeated bool, bufs [][]byte) error {
	relay, direct := r.relay || t == sealed.Response && (e.relay || repeated), r.direct
	var err error
	switch {
	case direct != nil:
		err = b.sendDirect(socks, p, bufs, direct, t, r.plain)
	case !relay:
		return b.noAddress(p)
	}
	if t == sealed.Response && e.addr.IsValid() && (direct == nil || direct.addr != e.addr) {
		_ = b.sendTo(socks, bufs, e, false) // counted
	}
	if !relay || b.relay == nil {
		return err
	}
	p.sentByRelay(t, bufs)
	if rerr := b.relay.send(p.key, bufs); rerr != nil && (direct == nil || err != nil) {
		return rerr
	}
	return nil
}

// sendTo sends to the address of an endpoint.
func (b *Bind) sendTo(socks sockets, bufs [][]byte, e *endpoint, plain bool) error {
	if until := e.plain.Load(); until != 0 {
		plain = plain || b.now() < until
	}
	refused, err := socks.SendFrom(bufs, e.addr, b.source(socks, e), plain)
	if refused.Run { // the path MTU is below the size of the packets in one run
		e.plain.Store(b.now() + plainFor)
	}
	if refused.Source { // until the network changes
		e.origin.choice.Store(fromRoute)
	}
	if err != nil {
		b.counters.sendErrors.Add(1)
		return fmt.Errorf("underlay: send to %v: %w", e.addr, err)
	}
	return nil
}

// initiate sends an initiation to every place where the peer may be, or by the path if
// that is proved. It fails only if no place takes it.
func (b *Bind) initiate(socks sockets, p *peer, e *endpoint, packet []byte) error {
	now := b.now()
	b.indices.record(p, senderIndex(packet), now)
	p.touchAt.Store(now + touchEvery)
	p.silence.sent(now, p.answeredAt())
	heard, fromSource := time.Duration(p.heard()), time.Duration(e.heard.Load())
	var plan paths.Initiation
	b.step(p, func(pp *paths.Peer, at time.Duration) (out []paths.Action) {
		p.way.initiation, p.way.initiated = append(p.way.initiation[:0], packet...), now
		plan, out = pp.Initiate(at, heard, fromSource)
		return out
	})
	if !plan.Relay {
		return b.sendEach(socks, p, packet, plan.To)
	}
	sent := len(plan.To) > 0 && b.sendEach(socks, p, packet, plan.To) == nil // before the relay, so that the peer rather answers directly
	switch relayed := b.relay.send(p.key, [][]byte{packet}) == nil; {
	case relayed && len(plan.Later) > 0:
		b.step(p, func(pp *paths.Peer, _ time.Duration) []paths.Action { pp.Postpone(plan.Later); return nil })
		return nil
	case relayed:
		return nil
	}
	if err := b.sendEach(socks, p, packet, plan.Later); !sent {
		return err
	}
	return nil
}

// respond notes a response. It reports whether there was one a moment ago, which
// therefore did not arrive.
func (p *peer) respond(now int64) (repeated bool) {
	p.way.mu.Lock()
	defer p.way.mu.Unlock()
	return p.way.paths.Respond(time.Duration(now))
}

// sendEach sends one packet to each address. One success is enough.
func (b *Bind) sendEach(socks sockets, p *peer, packet []byte, to []netip.AddrPort) error {
	var errs []error
	sent := 0
	for _, addr := range to {
		if addr.Addr().IsLoopback() && addr.Port() == socks.Port() {
			continue // this node itself
		}
		if b.avoids(socks, addr) {
			continue
		}
		if err := b.sendOne(socks, p, packet, addr); err != nil {
			b.counters.sendErrors.Add(1)
			errs = append(errs, fmt.Errorf("%v: %w", addr, err))
			continue
		}
		sent++
	}
	if len(errs) > 0 {
		b.logger.Debug("initiation not sent everywhere", "peer", p.key.Short(), "sent", sent, "err", errors.Join(errs...))
	}
	switch {
	case sent > 0:
		return nil
	case len(errs) > 0:
		return mesh.Errorf(mesh.Unavailable, "underlay: send to peer %v: %w", p.key.Short(), errors.Join(errs...))
	}
	return b.noAddress(p)
}

func (b *Bind) noAddress(p *peer) error {
	b.counters.sendErrors.Add(1)
	return mesh.Errorf(mesh.Unavailable, "underlay: send to peer %v: %w", p.key.Short(), ErrNoAddress)
}
