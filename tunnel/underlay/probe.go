package underlay

import (
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"nexd/internal/lpm"
	"nexd/internal/stun"
	"nexd/tunnel/disco"
	"nexd/tunnel/paths"
)

// touchEvery is how often traffic is reported to a peer's state machine.
const touchEvery = int64(200 * time.Millisecond)

// route is where a peer's packets go. It does not change once made.
type route struct {
	direct *endpoint // nil: not directly
	relay  bool
}

// probes is what the probers share.
type probes struct {
	stamp atomic.Uint64                    // the time of the last ping or call
	self  atomic.Pointer[[]netip.AddrPort] // where this node may be probed
	mesh  atomic.Pointer[lpm.Set]          // never a path
	wake  chan struct{}

	mu     sync.Mutex     // guards what follows
	active map[*peer]bool // have traffic; Run ticks them
	awake  map[*peer]bool // are not at rest, or have a prober
}

func (x *probes) init() {
	x.self.Store(&[]netip.AddrPort{})
	x.mesh.Store(new(lpm.Set))
	x.wake = make(chan struct{}, 1)
	x.active, x.awake = map[*peer]bool{}, map[*peer]bool{}
}

// SetSelf says where this node may be probed: its own addresses and those that
// STUN showed. Peers to which no path is proved, or that were just told, are told anew.
func (b *Bind) SetSelf(addrs []netip.AddrPort) {
	addrs = clean(addrs)
	if old := b.probes.self.Swap(&addrs); slices.Equal(*old, addrs) {
		return
	}
	b.eachAwake(func(p *paths.Peer, now time.Duration) []paths.Action { return p.Renew(now) })
}

// SetMesh says which prefixes lie inside the mesh. No path may lead through one:
// the tunnel must not carry itself.
func (b *Bind) SetMesh(prefixes []netip.Prefix) {
	b.probes.mesh.Store(lpm.SetOf(prefixes))
}

// NetworkChanged says that this host's addresses or routes are others than before.
// The port stays; STUN is asked again, and peers with traffic are probed anew.
func (b *Bind) NetworkChanged() {
	b.stun.Restart()
	b.eachAwake((*paths.Peer).NetworkChanged)
	b.probes.poke()
}

func (x *probes) poke() {
	select {
	case x.wake <- struct{}{}:
	default:
	}
}

// eachAwake reports an event to all peers that are not at rest.
func (b *Bind) eachAwake(event func(*paths.Peer, time.Duration) []paths.Action) {
	for _, p := range b.probes.all() {
		b.step(p, event)
	}
}

// all are the peers that are awake.
func (x *probes) all() []*peer {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Collect(maps.Keys(x.awake))
}

// forget puts a peer to rest.
func (x *probes) forget(p *peer) {
	x.mu.Lock()
	delete(x.active, p)
	delete(x.awake, p)
	x.mu.Unlock()
	p.rest()
}

// watch notes that a peer is awake. If it has traffic, Run ticks it from now on.
func (x *probes) watch(p *peer, active bool) {
	x.mu.Lock()
	x.awake[p] = true
	if active {
		x.active[p] = true
	}
	x.mu.Unlock()
	if active {
		x.poke()
	}
}

// outcome is what an event in a peer's state machine leads to.
type outcome struct {
	p       *peer
	awake   bool
	due     bool // a tick will be due
	actions []paths.Action
	settled bool // on a path that is worth a line in the log
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
	o := outcome{p: p, actions: event(p.way.paths, now)}
	if p.way.paths.AtRest() {
		return o
	}
	o.awake = true
	_, o.due = p.way.paths.Next(now)
	o.settled, o.path = b.choose(p, now)
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
	b.do(o.p, o.actions)
}

// choose makes the state machine's path the route. The caller holds p.way.mu. It reports
// whether the path differs from the last one in the log and is worth a line there.
func (b *Bind) choose(p *peer, now time.Duration) (settled bool, path paths.Path) {
	path = p.way.paths.Path(now)
	r := &route{relay: path.Relay}
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
	if told := p.way.told; doubtful || path.Direct == told.Direct && path.Relay == told.Relay {
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
	b.step(p, func(pp *paths.Peer, now time.Duration) []paths.Action { return pp.Traffic(now, heard) })
}

// moved notes that e is the source of the last authenticated packet.
func (b *Bind) moved(p *peer, e *endpoint) {
	p.sources.current.Store(e)
	if e.relay {
		b.step(p, (*paths.Peer).MovedToRelay)
	} else if e.addr.IsValid() && !b.inMesh(e.addr.Addr()) {
		b.step(p, func(pp *paths.Peer, now time.Duration) []paths.Action { return pp.Moved(now, e.addr) })
	}
}

func (b *Bind) inMesh(a netip.Addr) bool {
	return b.probes.mesh.Load().Has(a)
}

// outOfBand takes what is no message of WireGuard but ours; false if it is nobody's.
func (b *Bind) outOfBand(msg []byte, src netip.AddrPort, now int64) bool {
	switch {
	case disco.Is(msg):
		b.fromDisco(msg, src, nil, now)
		return true
	case stun.Is(msg):
		answered := b.stun.Answer(msg, src)
		if answered {
			b.probes.poke()
		}
		return answered
	}
	return false
}

// probe takes what looks like a message of WireGuard if it is a probe of a peer, or
// claims to be one.
func (b *Bind) probe(msg []byte, src netip.AddrPort, now int64) bool {
	hint, ok := disco.HintOf(msg)
	if !ok || (*b.peers.byHint.Load())[hint] == nil {
		return false
	}
	b.fromDisco(msg, src, nil, now)
	return true
}

// fromDisco takes a disco packet: from src, or through the relay from the peer via.
func (b *Bind) fromDisco(packet []byte, src netip.AddrPort, via *peer, now int64) {
	c := &b.counters
	hint, ok := disco.HintOf(packet)
	p := (*b.peers.byHint.Load())[hint]
	if !ok || p == nil || via != nil && via != p {
		c.probesForged.Add(1)
		return
	}
	pr := b.knownProber(p, packet, src, via)
	if pr == nil {
		return
	}
	m, ok := pr.pair.Open(packet)
	if !ok || m.Kind == disco.CallMe && via == nil {
		c.probesForged.Add(1)
		return
	}
	p.way.mu.Lock()
	fresh := m.Kind == disco.Pong && p.way.paths.Asked(paths.TxID(m.Tx)) || m.Kind != disco.Pong && pr.window.Take(m.Time)
	p.way.mu.Unlock()
	switch {
	case !fresh: // anybody may send these: they must not use up what the peer may send
		c.probesReplayed.Add(1)
		return
	case m.Kind != disco.Pong && !pr.limit.Allow():
		c.probesLimited.Add(1)
		return
	}
	if src.IsValid() && b.inMesh(src.Addr()) {
		return
	}
	c.probes.Add(1)
	b.step(p, func(pp *paths.Peer, now time.Duration) (out []paths.Action) {
		switch m.Kind {
		case disco.Ping:
			return pp.Ping(now, src, paths.TxID(m.Tx))
		case disco.Pong:
			if out, ok = pp.Pong(now, paths.TxID(m.Tx)); !ok {
				c.probesReplayed.Add(1)
			}
			return out
		}
		return pp.Call(now, slices.DeleteFunc(clean(m.Addrs), func(a netip.AddrPort) bool { return b.inMesh(a.Addr()) }))
	})
}

// do carries out the actions of a peer's state machine.
func (b *Bind) do(p *peer, actions []paths.Action) {
	socks := b.net.socks.Load()
	if socks == nil {
		return
	}
	for _, a := range actions {
		var err error
		if a.Kind == paths.Initiate {
			err = b.initiateAgain(socks, p, a.To)
		} else {
			err = b.sendProbe(socks, p, a)
		}
		if err != nil {
			b.logger.Debug("probe or initiation not sent", "peer", p.key.Short(), "addr", a.To, "err", err)
		}
	}
}

// sendProbe sends a ping, a pong or a call.
func (b *Bind) sendProbe(socks sockets, p *peer, a paths.Action) error {
	pr := b.prober(p)
	if pr == nil {
		return nil
	}
	m := disco.Message{Tx: disco.TxID(a.Tx)}
	switch a.Kind {
	case paths.Ping:
		if a.To.Addr().IsLoopback() && a.To.Port() == socks.Port() {
			return nil // this node itself
		}
		m.Kind, m.Time = disco.Ping, b.probes.time()
	case paths.Pong:
		m.Kind, m.Observed = disco.Pong, a.To
	case paths.Call:
		m.Kind, m.Time, m.Addrs = disco.CallMe, b.probes.time(), *b.probes.self.Load()
		b.renewMapping()
	}
	packet := pr.pair.Seal(m)
	switch {
	case a.Hops > 0:
		return socks.SendHops(packet, a.To, a.Hops)
	case a.To.IsValid():
		_, err := socks.Send([][]byte{packet}, a.To, true)
		return err
	}
	return b.relay.send(p.key, [][]byte{packet})
}

// initiateAgain sends the last initiation to one more address, or through the relay if
// that is invalid, unless it was answered.
func (b *Bind) initiateAgain(socks sockets, p *peer, to netip.AddrPort) error {
	packet := p.pendingInitiation(b.now())
	switch {
	case packet == nil:
		return nil
	case to.IsValid():
		return b.sendEach(socks, p, packet, []netip.AddrPort{to})
	}
	return b.relay.send(p.key, [][]byte{packet})
}

// renewMapping has STUN asked again when this node calls a peer: the NAT may have
// forgotten this node and give it another port now. A call that told the old address is
// repeated with the new one.
func (b *Bind) renewMapping() {
	if b.stun.Renew(time.Duration(b.now())) {
		b.probes.poke()
	}
}

// time is above every earlier one, of earlier lives of this node too as long as
// its clock is right.
func (x *probes) time() uint64 {
	for {
		last := x.stamp.Load()
		t := max(last+1, uint64(time.Now().UnixMicro()))
		if x.stamp.CompareAndSwap(last, t) {
			return t
		}
	}
}
