package underlay

import (
	"net/netip"
	"time"

	"nexd/mesh"
	"nexd/tunnel/disco"
)

// PathStatus is what is known of the way to a peer.
type PathStatus struct {
	Addr      netip.AddrPort // where packets go; invalid while unknown
	Proved    bool           // an authenticated packet came from Addr
	Relay     bool           // packets go through the relay, beside Addr if that is valid
	Probed    bool           // Addr answered a probe lately
	Resting   bool           // Addr answered when there was traffic; nothing says that it would not now
	Why       string         // why this way; empty if nothing is probed
	Since     time.Time      // when Addr became the path
	LastHeard time.Time      // when the last packet came from Addr
	RTT       time.Duration  // of the probes to Addr, else of the last handshake we began; 0 = none yet
}

// SetPeers replaces the whole set of peers. A kept peer keeps its path. If an
// initiation to a peer is waiting for an answer, it is sent again at once to the
// candidates that are new. The candidates are kept, so not to be changed afterwards.
func (b *Bind) SetPeers(peers []Peer) {
	type resend struct {
		p      *peer
		to     []netip.AddrPort
		packet []byte
	}
	var again []resend
	var probed, gone []*peer
	now, fresh, moved := b.now(), false, false

	b.mu.Lock()
	b.turn++
	for _, w := range peers {
		if w.Key == b.key || w.Key.IsZero() {
			continue
		}
		p := b.peers[w.Key]
		switch {
		case p == nil:
			p = b.newPeer(w.Key)
			b.peers[w.Key], fresh = p, true
		case p.turn == b.turn:
			continue // there twice
		}
		p.turn = b.turn
		candidates := clean(w.Candidates)
		if p.has(candidates) {
			continue
		}
		moved = true
		to, packet := p.setCandidates(candidates, now)
		if len(to) > 0 {
			again = append(again, resend{p, to, packet})
		}
		if p.probe.Load() != nil {
			probed = append(probed, p)
		}
	}
	for key, p := range b.peers {
		if p.turn != b.turn {
			p.removed.Store(true)
			gone = append(gone, p)
			delete(b.peers, key)
		}
	}
	b.index(fresh || len(gone) > 0, moved || len(gone) > 0)
	b.mu.Unlock()

	for _, p := range gone {
		b.indices.forget(p)
		b.probes.forget(p)
	}
	for _, p := range probed {
		b.tellCandidates(p)
	}
	if socks := b.socks.Load(); socks != nil {
		for _, r := range again {
			if to := b.hold(r.p, r.to); len(to) > 0 {
				_ = b.sendEach(socks, r.p, r.packet, to)
			}
		}
	}
}

// index makes anew what finds peers by hint and by candidate, which does not change
// once made. The caller holds mu.
func (b *Bind) index(hints, candidates bool) {
	if hints {
		byHint := make(map[disco.Hint]*peer, len(b.peers))
		for _, p := range b.peers {
			byHint[p.hint] = p
		}
		b.probes.byHint.Store(&byHint)
	}
	if candidates {
		byAddr := make(map[netip.AddrPort]*peer, 4*len(b.peers))
		for _, p := range b.peers {
			p.mu.Lock()
			for _, c := range p.candidates {
				byAddr[c] = p
			}
			p.mu.Unlock()
		}
		b.byAddr.Store(&byAddr)
	}
}

// Path is what is known of the way to a peer; ok is false for one that is not
// in the set.
func (b *Bind) Path(key mesh.Key) (_ PathStatus, ok bool) {
	p := b.peer(key)
	if p == nil {
		return PathStatus{}, false
	}
	st := PathStatus{RTT: time.Duration(p.rtt.Load())}
	if e := p.path.Load(); e != nil {
		p.mu.Lock()
		since := p.since
		p.mu.Unlock()
		st.Addr, st.Proved, st.Since, st.LastHeard = e.addr, e.addr.IsValid(), b.when(since), b.when(e.heard.Load())
	}
	b.probedPath(p, &st)
	return st, true
}

// OnKnock sets what is called with the key of an authenticated initiation; if it
// says false the initiation is dropped. It is the tunnel's way to make a peer in
// time, set before Open.
func (b *Bind) OnKnock(knock func(mesh.Key) bool) { b.knock.Store(&knock) }

// Forget is told that WireGuard has a peer no longer. What is known of its sessions
// and paths goes; the address where it was last, and the time of its last
// initiation, stay.
func (b *Bind) Forget(key mesh.Key) {
	p := b.peer(key)
	if p == nil {
		return
	}
	b.indices.forget(p)
	p.rest()
	b.probes.forget(p)
}

func (b *Bind) newPeer(key mesh.Key) *peer {
	p := &peer{key: key, hint: disco.HintFor(key, b.key)}
	p.relayed = &endpoint{key: key, relay: true}
	p.relayed.owner.Store(p)
	return p
}

func (b *Bind) peer(key mesh.Key) *peer {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.peers[key]
}

// owner finds the peer an endpoint belongs to, nil when it was removed.
func (b *Bind) owner(e *endpoint) *peer {
	p := e.owner.Load()
	if p != nil && !p.removed.Load() {
		return p
	}
	key := e.key
	var m opened
	if e.opening != nil {
		m, _ = b.opener.open(e.opening[:])
		key = m.key
	}
	if p = b.peer(key); p == nil {
		return nil
	}
	e.owner.Store(p)
	if secret := b.secret(p); e.opening != nil && secret != nil { // WireGuard has found it good
		if at, ok := m.time(e.opening[:], secret); ok {
			p.note(at)
		}
	}
	return p
}
