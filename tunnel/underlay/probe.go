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

// touchEvery is how often traffic is told to a prober.
const touchEvery = int64(200 * time.Millisecond)

// route is where a peer's packets go. It does not change once made.
type route struct {
	direct *endpoint // nil: not directly
	relay  bool
	proved bool
}

// probes is what the probers share.
type probes struct {
	on     atomic.Bool // Run runs
	byHint atomic.Pointer[map[disco.Hint]*peer]
	stamp  atomic.Uint64                    // the time of the last ping or call
	self   atomic.Pointer[[]netip.AddrPort] // where this node may be probed
	mesh   atomic.Pointer[lpm.Set]          // never a path
	wake   chan struct{}

	mu     sync.Mutex     // guards what follows
	active map[*peer]bool // Run looks after them
	made   map[*peer]bool // have a prober
}

func (x *probes) init() {
	x.byHint.Store(&map[disco.Hint]*peer{})
	x.self.Store(&[]netip.AddrPort{})
	x.mesh.Store(new(lpm.Set))
	x.wake = make(chan struct{}, 1)
	x.active, x.made = map[*peer]bool{}, map[*peer]bool{}
}

// SetSelf says where this node may be probed: its own addresses and those that
// STUN showed. Peers to which no path is proved, or that were just told, are told anew.
func (b *Bind) SetSelf(addrs []netip.AddrPort) {
	addrs = clean(addrs)
	if old := b.probes.self.Swap(&addrs); slices.Equal(*old, addrs) {
		return
	}
	b.eachProber(func(p *paths.Peer, now time.Duration) []paths.Action { return p.Renew(now) })
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
	b.eachProber((*paths.Peer).NetworkChanged)
	b.probes.poke()
}

func (x *probes) poke() {
	select {
	case x.wake <- struct{}{}:
	default:
	}
}

// eachProber does one thing with all peers that have a prober.
func (b *Bind) eachProber(do func(*paths.Peer, time.Duration) []paths.Action) {
	for _, p := range b.probes.all() {
		if !p.removed.Load() && p.probe.Load() != nil {
			b.step(p, do)
		}
	}
}

// all are the peers with a prober.
func (x *probes) all() []*peer {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Collect(maps.Keys(x.made))
}

// forget ends the prober of a peer.
func (x *probes) forget(p *peer) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.active, p)
	delete(x.made, p)
	p.probe.Store(nil)
	p.route.Store(nil)
}

// step lets one peer's machine take something in, and carries out what it wants.
func (b *Bind) step(p *peer, do func(*paths.Peer, time.Duration) []paths.Action) {
	pr := b.prober(p)
	if pr == nil || !b.probes.on.Load() {
		return
	}
	now := time.Duration(b.now())
	pr.moved.Store(int64(now))
	pr.mu.Lock()
	actions := do(pr.paths, now)
	_, due := pr.paths.Next(now)
	settled, path := b.choose(p, pr, now)
	pr.mu.Unlock()

	if due {
		b.watch(p)
	}
	if settled {
		b.logger.Info("path to peer", "peer", p.key.Short(), "addr", path.Direct, "relay", path.Relay, "why", path.Why)
	}
	b.do(p, pr, actions)
}

// choose makes the machine's path the route. The caller holds pr.mu. It says
// whether the path is another than was last told, and worth telling.
func (b *Bind) choose(p *peer, pr *prober, now time.Duration) (settled bool, path paths.Path) {
	path = pr.paths.Path(now)
	r := &route{relay: path.Relay, proved: path.Proved}
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
	if doubtful || path.Direct == pr.told.Direct && path.Relay == pr.told.Relay {
		return false, path
	}
	pr.told = path
	return true, path
}

// watch has Run look after a peer.
func (b *Bind) watch(p *peer) {
	b.probes.mu.Lock()
	b.probes.active[p] = true
	b.probes.mu.Unlock()
	b.probes.poke()
}

// touch tells the prober of traffic to the peer, from time to time.
func (b *Bind) touch(p *peer) {
	now, at := b.now(), p.touchAt.Load()
	if now < at || !p.touchAt.CompareAndSwap(at, now+touchEvery) {
		return
	}
	heard := time.Duration(p.heard())
	b.step(p, func(pp *paths.Peer, now time.Duration) []paths.Action { return pp.Traffic(now, heard) })
}

// sourced tells the prober of another authenticated source.
func (b *Bind) sourced(p *peer, e *endpoint) {
	if e.relay {
		b.step(p, (*paths.Peer).Relayed)
		return
	}
	if e.addr.IsValid() && !b.inMesh(e.addr.Addr()) {
		b.step(p, func(pp *paths.Peer, now time.Duration) []paths.Action { return pp.Source(now, e.addr) })
	}
}

func (b *Bind) tellCandidates(p *peer) {
	p.mu.Lock()
	c := slices.Clone(p.candidates)
	p.mu.Unlock()
	b.step(p, func(pp *paths.Peer, now time.Duration) []paths.Action { return pp.SetCandidates(now, c) })
}

func (b *Bind) inMesh(a netip.Addr) bool {
	return b.probes.mesh.Load().Has(a)
}

// outOfBand takes what is no message of WireGuard but ours; false if it is nobody's.
func (b *Bind) outOfBand(msg []byte, src netip.AddrPort, now int64) bool {
	switch {
	case !b.probes.on.Load():
		return false
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
	if !ok || !b.probes.on.Load() || (*b.probes.byHint.Load())[hint] == nil {
		return false
	}
	b.fromDisco(msg, src, nil, now)
	return true
}

// fromDisco takes a disco packet: from src, or through the relay from the peer via.
func (b *Bind) fromDisco(packet []byte, src netip.AddrPort, via *peer, now int64) {
	c := &b.counters
	hint, ok := disco.HintOf(packet)
	p := (*b.probes.byHint.Load())[hint]
	if !ok || p == nil || via != nil && via != p || !b.probes.on.Load() {
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
	pr.mu.Lock()
	fresh := m.Kind == disco.Pong && pr.paths.Asked(paths.TxID(m.Tx)) || m.Kind != disco.Pong && pr.window.Take(m.Time)
	pr.mu.Unlock()
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

// do sends what a machine wants sent.
func (b *Bind) do(p *peer, pr *prober, actions []paths.Action) {
	socks := b.socks.Load()
	if socks == nil {
		return
	}
	for _, a := range actions {
		m := disco.Message{Tx: disco.TxID(a.Tx)}
		switch a.Kind {
		case paths.Ping:
			if a.To.Addr().IsLoopback() && a.To.Port() == socks.Port() {
				continue // ourselves
			}
			m.Kind, m.Time = disco.Ping, b.probes.time()
		case paths.Pong:
			m.Kind, m.Observed = disco.Pong, a.To
		case paths.Call:
			m.Kind, m.Time, m.Addrs = disco.CallMe, b.probes.time(), *b.probes.self.Load()
			b.renewMapping()
		}
		packet := [][]byte{pr.pair.Seal(m)}
		var err error
		switch {
		case a.Hops > 0:
			err = socks.SendHops(packet[0], a.To, a.Hops)
		case a.To.IsValid():
			_, err = socks.Send(packet, a.To, true)
		default:
			err = b.relay.send(p.key, packet)
		}
		if a.Kind == paths.Ping && a.Hops == 0 {
			b.unhold(socks, p, a.To)
		}
		if err != nil {
			b.logger.Debug("probe not sent", "peer", p.key.Short(), "addr", a.To, "err", err)
		}
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

// probedPath adds what the prober knows of the way to a peer.
func (b *Bind) probedPath(p *peer, st *PathStatus) {
	pr := p.probe.Load()
	if pr == nil || !b.probes.on.Load() {
		st.Relay = !st.Addr.IsValid() && p.path.Load() != nil
		return
	}
	pr.mu.Lock()
	path := pr.paths.Path(time.Duration(b.now()))
	pr.mu.Unlock()
	st.Relay, st.Probed, st.Resting, st.Why = path.Relay, path.Proved, path.Resting, path.Why
	if path.Direct != st.Addr {
		st.Addr, st.LastHeard = path.Direct, time.Time{}
		if path.Direct.IsValid() {
			st.LastHeard = b.when(p.cached(path.Direct).heard.Load())
		}
	}
	st.Proved = st.Addr.IsValid() && (path.Proved || path.Resting || st.Proved)
	if path.RTT > 0 {
		st.RTT = path.RTT
	}
}
