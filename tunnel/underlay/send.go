package underlay

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"golang.zx2c4.com/wireguard/conn"

	"nexd/internal/sealed"
	"nexd/mesh"
)

// plainFor is how long a path that refused a GSO packet is spared further ones.
const plainFor = int64(time.Minute)

// Send implements conn.Bind. The packets of one call are of one peer; handshake
// messages come alone. An error concerns these packets only: the next Send may
// well succeed.
func (b *Bind) Send(bufs [][]byte, ep conn.Endpoint) error {
	e, ok := ep.(*endpoint)
	if !ok {
		return conn.ErrWrongEndpointType
	}
	socks := b.socks.Load()
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
	if t == sealed.Cookie { // answers a message nobody has authenticated
		if e.relay {
			return b.relay.send(e.key, bufs)
		}
		return b.sendTo(socks, bufs, e)
	}
	p := b.owner(e)
	if p == nil {
		return mesh.Errorf(mesh.NotFound, "underlay: send to %v: no such peer", e.DstToString())
	}
	again := false
	switch t {
	case sealed.Initiation:
		return b.initiate(socks, p, e, bufs[0])
	case sealed.Response:
		b.indices.record(p, senderIndex(bufs[0]), b.now())
		again = p.answersAgain(b.now())
	}
	if !e.addr.IsValid() && !e.relay {
		if e = p.path.Load(); e == nil {
			return b.noAddress(p)
		}
	}
	if p.path.Load() != e {
		b.moved(p, e)
	}
	if b.probes.on.Load() {
		b.touch(p)
		if r := p.route.Load(); r != nil {
			return b.sendBy(socks, p, r, e, t, again, bufs)
		}
	}
	if e.relay {
		return b.relay.send(p.key, bufs)
	}
	return b.sendTo(socks, bufs, e)
}

// moved notes that e is the last authenticated source.
func (b *Bind) moved(p *peer, e *endpoint) {
	from, changed := p.moved(e, b.now())
	if b.probes.on.Load() {
		b.sourced(p, e)
	} else if changed {
		b.logger.Info("path to peer", "peer", p.key.Short(), "addr", e.addr, "was", from)
	}
}

// sendBy sends by the route that the prober chose. A response goes also to where
// the initiation came from, which is known to lead here, if not back; again says
// that the one before it seems to be lost, and then it goes by the relay, too.
func (b *Bind) sendBy(socks sockets, p *peer, r *route, e *endpoint, t uint32, again bool, bufs [][]byte) error {
	relay, direct := r.relay || t == sealed.Response && (e.relay || again), r.direct
	var err error
	switch {
	case direct != nil:
		err = b.sendTo(socks, bufs, direct)
	case !relay:
		return b.noAddress(p)
	}
	if t == sealed.Response && e.addr.IsValid() && (direct == nil || direct.addr != e.addr) {
		_ = b.sendTo(socks, bufs, e) // counted
	}
	if !relay || b.relay == nil {
		return err
	}
	if rerr := b.relay.send(p.key, bufs); rerr != nil && (direct == nil || err != nil) {
		return rerr
	}
	return nil
}

// sendTo sends to where the endpoint is.
func (b *Bind) sendTo(socks sockets, bufs [][]byte, e *endpoint) error {
	plain := false
	if until := e.plain.Load(); until != 0 {
		plain = b.now() < until
	}
	refused, err := socks.Send(bufs, e.addr, plain)
	if refused { // the path carries less than the packets of one GSO run
		e.plain.Store(b.now() + plainFor)
	}
	if err != nil {
		b.counters.sendErrors.Add(1)
		return fmt.Errorf("underlay: send to %v: %w", e.addr, err)
	}
	return nil
}

// initiate sends an initiation to the path, or to every place where the peer may
// be. It fails only if it could be sent to none.
func (b *Bind) initiate(socks sockets, p *peer, e *endpoint, packet []byte) error {
	now := b.now()
	b.indices.record(p, senderIndex(packet), now)
	to := p.ask(e, packet, now)
	if b.probes.on.Load() {
		b.touch(p)
		r := p.route.Load()
		switch {
		case r != nil && r.proved && !p.retrying():
			return b.sendTo(socks, [][]byte{packet}, r.direct)
		case r != nil && r.direct != nil && !slices.Contains(to, r.direct.addr):
			to = append(to, r.direct.addr)
		}
	}
	if b.relay == nil || !b.relay.up.Load() || b.relay.send(p.key, [][]byte{packet}) != nil {
		return b.sendEach(socks, p, packet, to)
	}
	if to = b.hold(p, to); len(to) > 0 {
		_ = b.sendEach(socks, p, packet, to) // counted
	}
	return nil
}

// sendEach sends one packet to each address. One success is enough.
func (b *Bind) sendEach(socks sockets, p *peer, packet []byte, to []netip.AddrPort) error {
	var errs []error
	sent := 0
	for _, addr := range to {
		if addr.Addr().IsLoopback() && addr.Port() == socks.Port() {
			continue // ourselves
		}
		if _, err := socks.Send([][]byte{packet}, addr, true); err != nil {
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
