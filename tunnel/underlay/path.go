package underlay

import (
	"net/netip"
	"time"

	"nexd/tunnel/paths"
)

// touchEvery is how often traffic is reported to a peer's state machine.
const touchEvery = int64(200 * time.Millisecond)

// route is where a peer's packets go. It does not change once made.
type route struct {
	direct *endpoint // nil: not directly
	relay  bool
	plain  bool // direct takes no runs
}

// eachAwake reports an event to all peers that are not at rest.
func (b *Bind) eachAwake(event func(*paths.Peer, time.Duration) []paths.Action) {
	for _, p := range b.probes.all() {
		b.step(p, event)
	}
}

// outcome is what an event in a peer's state machine leads to.
type outcome struct {
	p       *peer
	awake   bool
	due     bool // a tick will be due
	actions []paths.Action
	asked   netip.Addr // this host's address that the event came to; pongs leave from there
	settled bool       // on a path that is worth a line in the log
	resized bool       // the path carries larger or smaller packets than before
	path    paths.Path
}

// step reports an event to a peer's state machine and carries out what it wants.
func (b *Bind) step(p *peer, event func(*paths.Peer, time.Duration) []paths.Action) {
	b.finish(b.advance(p, event))
}

// advance reports an event to a peer's state machine. The caller passes the outcome to
// finish.
func (b *Bind) advance(p *peer, event func(*paths.Peer, time.Duration) []paths.Action) outcome {
	now := time.Duration(b.now())
	p.way.mu.Lock()
	defer p.way.mu.Unlock()
	var t paths.Tally
	t.Packets, t.Runs = p.sent.Counts()
	p.way.paths.Sent(t)
	o := outcome{p: p, actions: event(p.way.paths, now)}
	if p.way.paths.AtRest() {
		return o
	}
	o.awake = true
	_, o.due = p.way.paths.Next(now)
	o.settled, o.path = b.choose(p, now)
	o.resized, p.way.largest = o.path.Largest != p.way.largest, o.path.Largest
	p.reports.Store(p.way.paths.Reports())
	b.counters.changed(&p.way.changes, p.way.paths.Changes())
	p.stepped.Store(int64(now))
	return o
}

// finish does what follows from an event.
func (b *Bind) finish(o outcome) {
	if o.p.removed.Load() {
		return
	}
	if o.awake {
		b.probes.watch(o.p, o.due)
	}
	if o.settled {
		b.logger.Info("path to peer", "peer", o.p.key.Short(), "addr", o.path.Direct, "relay", o.path.Relay, "why", o.path.Why)
	}
	if o.resized && b.onLargest != nil {
		b.onLargest(o.p.key, o.path.Largest)
	}
	b.do(o.p, o.actions, o.asked)
}

// choose makes the state machine's path the route. The caller holds p.way.mu. It reports
// whether the path differs from the last one in the log and is worth a line there.
func (b *Bind) choose(p *peer, now time.Duration) (settled bool, path paths.Path) {
	path = p.way.paths.Path(now)
	r := &route{relay: path.Relay, plain: path.Plain}
	if path.Direct.IsValid() {
		r.direct = p.cached(path.Direct)
	}
	if r.direct == nil && !r.relay {
		r = nil
	}
	if old := p.route.Load(); old == nil || r == nil || *old != *r {
		p.route.Store(r)
	}
	doubtful := path.Direct.IsValid() == path.Relay // both, for a moment, or neither yet
	if told := p.way.told; doubtful || path.Direct == told.Direct && path.Relay == told.Relay && (path.Relay || path.Why == told.Why) {
		return false, path
	}
	p.way.told = path
	return true, path
}

// touch reports traffic to the peer to its state machine, from time to time.
func (b *Bind) touch(p *peer) {
	now, at := b.now(), p.touchAt.Load()
	if now < at || !p.touchAt.CompareAndSwap(at, now+touchEvery) {
		return
	}
	heard := time.Duration(p.heard())
	p.silence.sent(now, p.answeredAt())
	b.step(p, func(pp *paths.Peer, now time.Duration) []paths.Action { return pp.Traffic(now, heard) })
}

// moved notes that e is the source of the last authenticated packet.
func (b *Bind) moved(p *peer, e *endpoint) {
	p.sources.current.Store(e)
	if e.addr.IsValid() {
		p.confirm(e)
	}
	if e.relay {
		b.step(p, (*paths.Peer).MovedToRelay)
	} else if e.addr.IsValid() && !b.refused(e.addr.Addr()) && !b.arrivedAvoided(e.origin.at) {
		b.step(p, func(pp *paths.Peer, now time.Duration) []paths.Action { return pp.Moved(now, e.addr) })
	}
}
