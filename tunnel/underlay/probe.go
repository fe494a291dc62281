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
	"nexd/tunnel/candidates"
	"nexd/tunnel/disco"
	"nexd/tunnel/paths"
)

// probes is what all peers share in the search for paths.
type probes struct {
	stamp atomic.Uint64                    // time of the last ping or call
	self  atomic.Pointer[[]netip.AddrPort] // addresses at which this node may be probed
	wake  chan struct{}

	refused atomic.Pointer[lpm.Set]      // prefixes that are never a path
	avoided atomic.Pointer[[]netip.Addr] // addresses of this host that are no end of a path; nil = none

	mu     sync.Mutex     // guards what follows
	active map[*peer]bool // have traffic; Run ticks them
	awake  map[*peer]bool // are not at rest, or have a prober
}

func (x *probes) init() {
	x.self.Store(&[]netip.AddrPort{})
	x.refused.Store(new(lpm.Set))
	x.wake = make(chan struct{}, 1)
	x.active, x.awake = map[*peer]bool{}, map[*peer]bool{}
}

// SetSelf sets the addresses at which this node may be probed: its own, and those that STUN
// showed. The Bind tells the change to peers without a proved path and to peers that were
// told the old addresses a moment ago.
func (b *Bind) SetSelf(addrs []netip.AddrPort) {
	addrs = candidates.Clean(addrs)
	if old := b.probes.self.Swap(&addrs); slices.Equal(*old, addrs) {
		return
	}
	b.eachAwake(func(p *paths.Peer, now time.Duration) []paths.Action { return p.Renew(now) })
}

// SetRefused sets the prefixes that are never a path: those from which nodes have their addresses
// inside the mesh, because the tunnel must not carry itself, and those that the user excludes. own are
// addresses of this host: no peer is probed where this host would send from one of them, and probes
// that arrive at one are not answered.
func (b *Bind) SetRefused(prefixes []netip.Prefix, own []netip.Addr) {
	b.probes.refused.Store(lpm.SetOf(prefixes))
	if len(own) == 0 {
		b.probes.avoided.Store(nil)
		return
	}
	b.probes.avoided.Store(&own)
}

// avoids reports whether a packet to an address would leave from one of own of SetRefused.
func (b *Bind) avoids(socks sockets, to netip.AddrPort) bool {
	own := b.probes.avoided.Load()
	return own != nil && slices.Contains(*own, socks.Route(to))
}

// arrivedAvoided reports whether at, to which a packet came, is one of own of SetRefused.
func (b *Bind) arrivedAvoided(at netip.Addr) bool {
	own := b.probes.avoided.Load()
	return own != nil && at.IsValid() && slices.Contains(*own, at.Unmap().WithZone(""))
}

// NetworkChanged reports that this host's addresses or routes changed. The port stays; the
// Bind asks STUN again and probes peers with traffic.
func (b *Bind) NetworkChanged() {
	b.net.changed.Store(b.now())
	if socks := b.net.socks.Load(); socks != nil {
		for _, p := range b.peers.all() {
			p.networkChanged(socks)
		}
	}
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

func (b *Bind) refused(a netip.Addr) bool {
	return b.probes.refused.Load().Has(a)
}

// outOfBand takes a message that is not WireGuard's: a call, or STUN. It returns false for
// any other message.
func (b *Bind) outOfBand(msg []byte, src netip.AddrPort, at netip.Addr, now int64) bool {
	switch {
	case disco.Is(msg):
		b.fromDisco(msg, src, at, nil, now)
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

// probe takes a probe, which looks like a message of WireGuard. It returns false for a
// message that does not claim to be a peer's probe.
func (b *Bind) probe(msg []byte, src netip.AddrPort, at netip.Addr, now int64) bool {
	hint, ok := disco.HintOf(msg)
	if !ok || (*b.peers.byHint.Load())[hint] == nil {
		return false
	}
	b.fromDisco(msg, src, at, nil, now)
	return true
}

// fromDisco takes a probe or a call: from src to this host's address at, or through the relay from
// the peer via.
func (b *Bind) fromDisco(packet []byte, src netip.AddrPort, at netip.Addr, via *peer, now int64) {
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
	case !fresh: // anybody may replay messages: they must not use up the peer's budget
		c.probesReplayed.Add(1)
		return
	case m.Kind != disco.Pong && !pr.limit.Allow():
		c.probesLimited.Add(1)
		return
	}
	if src.IsValid() && (b.refused(src.Addr()) || b.arrivedAvoided(at)) {
		return
	}
	c.probes.Add(1)
	if m.Kind == disco.Pong || m.Kind == disco.Report {
		p.silence.answered.Store(now)
	}
	if src.IsValid() && at.IsValid() {
		p.confirmProbe(src, at, now)
	}
	o := b.advance(p, func(pp *paths.Peer, now time.Duration) (out []paths.Action) {
		switch m.Kind {
		case disco.Report:
			c.reportsReceived.Add(1)
			return pp.Reported(now, m.Arrived, int(m.Largest))
		case disco.Ping, disco.Sized:
			return pp.Ping(now, src, paths.TxID(m.Tx))
		case disco.Pong:
			if out, ok = pp.Pong(now, paths.TxID(m.Tx)); !ok {
				c.probesReplayed.Add(1)
			}
			return out
		}
		return pp.Call(now, slices.DeleteFunc(candidates.Clean(m.Addrs), func(a netip.AddrPort) bool { return b.refused(a.Addr()) }))
	})
	o.asked = at
	b.finish(o)
}

// do carries out the actions of a peer's state machine. Pongs leave from the address asked.
func (b *Bind) do(p *peer, actions []paths.Action, asked netip.Addr) {
	socks := b.net.socks.Load()
	if socks == nil {
		return
	}
	for _, a := range actions {
		var err error
		if a.Kind == paths.Initiate {
			err = b.initiateAgain(socks, p, a.To)
		} else {
			err = b.sendProbe(socks, p, a, asked)
		}
		if err != nil {
			b.logger.Debug("probe or initiation not sent", "peer", p.key.Short(), "addr", a.To, "err", err)
		}
	}
}

// sendProbe sends a probe, an answer, a report or a call.
func (b *Bind) sendProbe(socks sockets, p *peer, a paths.Action, asked netip.Addr) error {
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
		if b.avoids(socks, a.To) {
			return nil
		}
		m.Kind, m.Time = disco.Ping, b.probes.time()
	case paths.Pong:
		m.Kind, m.Observed = disco.Pong, a.To
	case paths.Size:
		return b.sendSized(socks, p, pr, a)
	case paths.Report:
		return b.sendReport(socks, p, pr, a.To)
	case paths.Call:
		m.Kind, m.Time, m.Addrs = disco.CallMe, b.probes.time(), *b.probes.self.Load()
		b.renewMapping()
	}
	packet := pr.pair.Seal(m)
	switch {
	case a.Hops > 0:
		return socks.SendHops(packet, a.To, a.Hops)
	case a.To.IsValid() && a.Kind == paths.Pong && asked.IsValid():
		_, err := socks.SendFrom([][]byte{packet}, a.To, asked, true)
		return err
	case a.To.IsValid():
		return b.sendOne(socks, p, packet, a.To)
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

// time is later than every time before, in earlier lives of this node too as long as its
// clock is right.
func (x *probes) time() uint64 {
	for {
		last := x.stamp.Load()
		t := max(last+1, uint64(time.Now().UnixMicro()))
		if x.stamp.CompareAndSwap(last, t) {
			return t
		}
	}
}
