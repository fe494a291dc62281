package underlay

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"nexd/internal/sealed"
	"nexd/mesh"
	"nexd/tunnel/paths"
)

// strayEvery is the least time between two OnStray calls for one peer.
const strayEvery = int64(5 * time.Second)

// Stats counts packets. All but Attributed, Deferred, Probes, the reports, what became of paths,
// and the errors count received
// packets that were dropped.
type Stats struct {
	Attributed    uint64 // packets of a known peer
	Deferred      uint64 // initiations beyond the budget, passed to WireGuard unopened
	Malformed     uint64 // neither WireGuard's messages, nor probes, nor STUN
	BadMAC        uint64 // handshake messages whose sender does not know this node's public key
	BadInitiation uint64 // initiations that do not decrypt
	UnknownKey    uint64 // initiations from unknown public keys
	Duplicates    uint64 // copies of handshake messages
	Replayed      uint64 // initiations whose time is not later than that of an earlier one
	UnknownIndex  uint64 // messages of no session of this process
	RelayFull     uint64 // packets of the relay beyond the queue

	Probes         uint64 // pings, pongs and calls of peers
	ProbesForged   uint64 // … that no peer sent
	ProbesReplayed uint64 // … that came before, or answer no ping
	ProbesLimited  uint64 // … beyond the budget

	ReportsSent     uint64 // of what arrived, to peers
	ReportsReceived uint64 // by peers
	Narrowed        uint64 // paths that were limited to smaller packets, or to single ones
	Left            uint64 // addresses that swallowed data and were left for another way

	SendErrors    uint64 // sends to one address that failed, or to a peer without an address
	ReceiveErrors uint64 // failed reads
}

type counters struct {
	attributed, deferred, duplicates                           atomic.Uint64
	malformed, badMAC, badInitiation, unknownKey, unknownIndex atomic.Uint64
	replayed, sendErrors, receiveErrors, relayFull             atomic.Uint64
	probes, probesForged, probesReplayed, probesLimited        atomic.Uint64
	reportsSent, reportsReceived, narrowed, left               atomic.Uint64
}

// changed counts what became of a peer's paths since the last time.
func (c *counters) changed(last *paths.Changes, now paths.Changes) {
	c.narrowed.Add(now.Narrowed - last.Narrowed)
	c.left.Add(now.Left - last.Left)
	*last = now
}

// Stats is a copy of the counters.
func (b *Bind) Stats() Stats {
	c := &b.counters
	return Stats{
		Attributed: c.attributed.Load(), Deferred: c.deferred.Load(), Duplicates: c.duplicates.Load(),
		Malformed: c.malformed.Load(), BadMAC: c.badMAC.Load(), BadInitiation: c.badInitiation.Load(),
		UnknownKey: c.unknownKey.Load(), UnknownIndex: c.unknownIndex.Load(), Replayed: c.replayed.Load(),
		SendErrors: c.sendErrors.Load(), ReceiveErrors: c.receiveErrors.Load(), RelayFull: c.relayFull.Load(),
		Probes: c.probes.Load(), ProbesForged: c.probesForged.Load(), ProbesReplayed: c.probesReplayed.Load(), ProbesLimited: c.probesLimited.Load(),
		ReportsSent: c.reportsSent.Load(), ReportsReceived: c.reportsReceived.Load(), Narrowed: c.narrowed.Load(), Left: c.left.Load(),
	}
}

// senderIndex is the index that the sender of a message 1 or 2 chose for itself.
func senderIndex(msg []byte) uint32 { return binary.LittleEndian.Uint32(msg[4:]) }

// receiverIndex is the index that a message 2, 3 or 4 is for.
func receiverIndex(t uint32, msg []byte) uint32 {
	if t == sealed.Response {
		return binary.LittleEndian.Uint32(msg[8:])
	}
	return binary.LittleEndian.Uint32(msg[4:])
}

// memo caches the last attribution within one read: a batch is mostly of one session from
// one source.
type memo struct {
	index uint32
	addr  netip.AddrPort
	e     *endpoint
	at    netip.Addr // this host's address that the messages were sent to; not valid = unknown
}

// arriving sets the address of the messages that follow.
func (m *memo) arriving(at netip.Addr) {
	if m.at != at {
		m.e, m.at = nil, at
	}
}

// attribute finds the peer that sent msg. It counts the message and returns nil if there is
// none.
func (b *Bind) attribute(msg []byte, src netip.AddrPort, now int64, m *memo) *endpoint {
	t := sealed.Type(msg)
	switch t {
	case 0:
		if !b.outOfBand(msg, src, m.at, now) {
			b.counters.malformed.Add(1)
		}
		return nil
	case sealed.Initiation:
		if b.probe(msg, src, m.at, now) {
			return nil
		}
		return b.attributeInitiation(msg, src, m.at, now)
	}
	index := receiverIndex(t, msg)
	if m.e != nil && m.index == index && m.addr == src && t == sealed.Data {
		return m.e
	}
	entry, ok := b.indices.lookup(index, now)
	if !ok {
		if t == sealed.Data && b.probe(msg, src, m.at, now) {
			return nil
		}
		b.counters.unknownIndex.Add(1)
		if t == sealed.Data {
			b.strayed(src, now)
		}
		return nil
	}
	if t == sealed.Response {
		if !b.firstResponse(msg) {
			return nil
		}
		entry.p.rtt.Store(now - entry.at)
	}
	e := entry.p.endpoint(src, m.at)
	if t != sealed.Cookie { // a cookie means that the peer is busy, not that it answered
		e.heard.Store(now)
	}
	m.index, m.addr, m.e = index, src, e
	return e
}

func (b *Bind) attributeInitiation(msg []byte, src netip.AddrPort, at netip.Addr, now int64) *endpoint {
	if !b.handshakes.opener.checkMAC1(msg) {
		b.counters.badMAC.Add(1)
		return nil
	}
	mac1 := mac1Of(msg)
	if b.handshakes.seen.has(mac1) {
		b.counters.duplicates.Add(1)
		return nil
	}
	if !b.mayOpen(src) {
		if !b.firstCopy(mac1) {
			return nil
		}
		b.counters.deferred.Add(1)
		return &endpoint{addr: src, origin: origin{at: at}, opening: (*[initiationHead]byte)(append([]byte(nil), msg[:initiationHead]...))}
	}
	m, ok := b.handshakes.opener.open(msg)
	if !ok {
		b.counters.badInitiation.Add(1)
		return nil
	}
	p := b.peer(m.key)
	if p == nil { // not noted as seen: a copy may arrive after the peer is known
		b.counters.unknownKey.Add(1)
		b.logger.Debug("initiation by an unknown key", "peer", m.key.Short(), "addr", src)
		return nil
	}
	if !b.letIn(p, &m, msg) {
		return nil
	}
	e := p.endpoint(src, at)
	e.heard.Store(now)
	return e
}

// Limits on opening initiations on the receiving goroutine. Beyond them this node opens an
// initiation only after WireGuard, which keeps floods out by cookies, has accepted it. An
// initiation of a node without a peer in WireGuard is lost then; its sender tries again
// after 5 s.
const (
	openingsPerSecond = 250
	openingsAtOnce    = 256

	reservePerSecond = 50 // for sources that the network map has
	reserveAtOnce    = 64
)

// handshakes checks the handshake messages of peers before WireGuard gets them.
type handshakes struct {
	opener       *opener
	openings     *rate.Limiter
	reserve      *rate.Limiter
	seen         handshakeCache
	onInitiation atomic.Pointer[func(mesh.Key) bool]
}

func (h *handshakes) init(key mesh.PrivateKey) (err error) {
	h.openings = rate.NewLimiter(openingsPerSecond, openingsAtOnce)
	h.reserve = rate.NewLimiter(reservePerSecond, reserveAtOnce)
	h.opener, err = newOpener(key)
	return err
}

// mayOpen reports whether this node may open an initiation from src now. Opening one costs
// at most two key agreements, some 0.2 ms; with both budgets a flood takes less than a
// tenth of a processor. The second budget is for addresses of the network map, so that an
// attacker who knows this node's public key cannot lock out all peers.
func (b *Bind) mayOpen(src netip.AddrPort) bool {
	if b.handshakes.openings.Allow() {
		return true
	}
	return (*b.peers.byAddr.Load())[src] != nil && b.handshakes.reserve.Allow()
}

// letIn decides about an opened initiation that names p. Its sender must have p's private
// key, it must be later than every initiation before, and no copy of it may have been let
// in. Then the tunnel makes the peer in WireGuard if need be.
func (b *Bind) letIn(p *peer, m *opened, msg []byte) bool {
	secret := b.secret(p)
	if secret == nil {
		b.counters.badInitiation.Add(1)
		return false
	}
	at, ok := m.time(msg, secret)
	if !ok {
		b.counters.badInitiation.Add(1)
		return false
	}
	if order := p.identity.order(at); order <= 0 { // WireGuard would decide the same if it had had the peer all the time
		b.counters.replayed.Add(1)
		if order < 0 { // its clock may have gone back: then only this node can begin a session
			b.logger.Debug("initiation with an old time", "peer", p.key.Short())
			b.report(p, b.now())
		}
		return false
	}
	if accept := b.handshakes.onInitiation.Load(); accept != nil && !(*accept)(p.key) {
		b.counters.unknownKey.Add(1)
		return false
	}
	if !b.firstCopy(mac1Of(msg)) { // another goroutine was first
		return false
	}
	p.identity.note(at)
	return true
}

// secret is the shared secret of p's key and this node's, kept while WireGuard has the
// peer; nil if p's key is invalid.
func (b *Bind) secret(p *peer) *[32]byte {
	if s := p.identity.secret.Load(); s != nil {
		return s
	}
	s, err := b.private.SharedSecret(p.key)
	if err != nil {
		return nil
	}
	p.identity.secret.Store(&s)
	return &s
}

// firstResponse reports whether the sender of a message 2 knows this node's public key, and
// no copy of the message came before. A response may arrive by the relay, too. WireGuard
// could make two sessions with the same keys of two copies, and their packets would share
// nonces.
func (b *Bind) firstResponse(msg []byte) bool {
	if !b.handshakes.opener.checkMAC1(msg) {
		b.counters.badMAC.Add(1)
		return false
	}
	return b.firstCopy(mac1Of(msg))
}

// firstCopy notes a handshake message. It returns false if a copy came before.
func (b *Bind) firstCopy(mac1 [16]byte) bool {
	if b.handshakes.seen.add(mac1) {
		return true
	}
	b.counters.duplicates.Add(1)
	return false
}

// strayed reports data of no session to OnStray if its source is a candidate.
func (b *Bind) strayed(src netip.AddrPort, now int64) {
	if b.onStray == nil {
		return
	}
	p := (*b.peers.byAddr.Load())[src]
	if p != nil {
		b.report(p, now)
	}
}

// report calls OnStray for a peer, once in a while.
func (b *Bind) report(p *peer, now int64) {
	if b.onStray == nil {
		return
	}
	last := p.stray.Load()
	if last != 0 && now-last < strayEvery || !p.stray.CompareAndSwap(last, now) {
		return
	}
	b.onStray(p.key)
}

// handshakeCache holds the mac1 of the last handshake messages that were let in. A message
// arrives once for every candidate that its sender tried, and must reach WireGuard once:
// wireguard-go checks for a replay before it takes the lock under which it answers, so it
// can answer two copies at once, and then the session of the first answer is dead before
// the peer uses it.
type handshakeCache struct {
	mu   sync.Mutex // guards what follows
	last [64][16]byte
	next int
}

func (c *handshakeCache) has(mac1 [16]byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Contains(c.last[:], mac1)
}

// add notes a message. It returns false if the message was there already.
func (c *handshakeCache) add(mac1 [16]byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if slices.Contains(c.last[:], mac1) {
		return false
	}
	c.last[c.next] = mac1
	c.next = (c.next + 1) % len(c.last)
	return true
}
