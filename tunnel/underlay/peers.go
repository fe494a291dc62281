package underlay

import (
	"crypto/rand"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"nexd/mesh"
	"nexd/tunnel/candidates"
	"nexd/tunnel/disco"
	"nexd/tunnel/paths"
)

// PathStatus is the state of the path to a peer.
type PathStatus struct {
	Addr      netip.AddrPort // where direct packets go; invalid if unknown
	Proved    bool           // an authenticated packet, or the answer to a probe, came from Addr
	Relay     bool           // packets go through the relay, and to Addr as well if that is valid
	Probed    bool           // Addr answered a probe lately
	Resting   bool           // Addr answered during the last traffic and is not in doubt
	Why       string         // the reason for this path; empty for a peer at rest
	Largest   int            // size of the largest packet inside the mesh that Addr carries; 0 = no limit is known
	Plain     bool           // Addr takes single packets only: no runs
	Limited   time.Time      // since when Addr, or another address that is therefore not used, carries less than it should, or the relay nothing; zero = never
	Since     time.Time      // when the peer moved to its last direct address
	Silent    time.Time      // since when this node sends and hears nothing from the peer, by any way; zero: it hears something
	LastHeard time.Time      // when the last packet came from Addr
	RTT       time.Duration  // of the probes to Addr, else of the last handshake that this node began; 0 = none yet
}

// peerSet is the set of peers, and how to find one.
type peerSet struct {
	byHint atomic.Pointer[map[disco.Hint]*peer]
	byAddr atomic.Pointer[map[netip.AddrPort]*peer] // by candidate

	mu   sync.Mutex // guards what follows
	m    map[mesh.Key]*peer
	turn uint64 // of SetPeers
}

func (s *peerSet) init() {
	s.m = map[mesh.Key]*peer{}
	s.index(true, true)
}

// get is the peer with a key, nil if there is none.
func (s *peerSet) get(key mesh.Key) *peer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.m[key]
}

// all are the peers, in no particular order.
func (s *peerSet) all() []*peer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Values(s.m))
}

// index rebuilds the maps that find peers by hint and by candidate. The caller holds mu.
func (s *peerSet) index(hints, candidates bool) {
	if hints {
		byHint := make(map[disco.Hint]*peer, len(s.m))
		for _, p := range s.m {
			byHint[p.hint] = p
		}
		s.byHint.Store(&byHint)
	}
	if candidates {
		byAddr := make(map[netip.AddrPort]*peer, 4*len(s.m))
		for _, p := range s.m {
			for _, c := range p.candidates() {
				byAddr[c] = p
			}
		}
		s.byAddr.Store(&byAddr)
	}
}

// SetPeers replaces the whole set of peers. A kept peer keeps its path. An initiation
// that waits for an answer goes at once to the candidates that are new. The candidates
// are kept, so the caller must not change them afterwards.
func (b *Bind) SetPeers(peers []Peer) {
	var changed []outcome
	var gone []*peer
	fresh, moved := false, false

	b.peers.mu.Lock()
	b.peers.turn++
	for _, w := range peers {
		if w.Key == b.key || w.Key.IsZero() {
			continue
		}
		p := b.peers.m[w.Key]
		switch {
		case p == nil:
			p = b.newPeer(w.Key)
			b.peers.m[w.Key], fresh = p, true
		case p.turn == b.peers.turn:
			continue // a duplicate
		}
		p.turn = b.peers.turn
		wanted := candidates.Clean(w.Candidates)
		if slices.Equal(wanted, p.candidates()) {
			continue
		}
		moved = true
		o := b.advance(p, func(pp *paths.Peer, now time.Duration) []paths.Action { return pp.SetCandidates(now, wanted) })
		if o.awake {
			changed = append(changed, o)
		}
	}
	for key, p := range b.peers.m {
		if p.turn != b.peers.turn {
			p.removed.Store(true)
			gone = append(gone, p)
			delete(b.peers.m, key)
		}
	}
	b.peers.index(fresh || len(gone) > 0, moved || len(gone) > 0)
	b.peers.mu.Unlock()

	for _, p := range gone {
		b.indices.forget(p)
		b.probes.forget(p)
	}
	for _, o := range changed {
		b.finish(o)
	}
}

// Path is the state of the path to a peer; ok is false if the peer is not in the set.
func (b *Bind) Path(key mesh.Key) (_ PathStatus, ok bool) {
	p := b.peer(key)
	if p == nil {
		return PathStatus{}, false
	}
	p.way.mu.Lock()
	path := p.way.paths.Path(time.Duration(b.now()))
	source, since, heard := p.way.paths.Source()
	p.way.mu.Unlock()
	st := PathStatus{
		Addr: path.Direct, Relay: path.Relay, Probed: path.Proved, Resting: path.Resting, Why: path.Why, RTT: path.RTT,
		Largest: path.Largest, Plain: path.Plain, Limited: b.when(int64(path.Since)),
	}
	st.Silent = b.when(p.silence.begun(b.now(), p.answeredAt()))
	if source.IsValid() {
		st.Since = b.when(int64(since))
	}
	if path.Direct.IsValid() {
		st.Proved = path.Proved || path.Resting || heard
		st.LastHeard = b.when(p.sources.heardFrom(path.Direct))
	}
	if st.RTT == 0 {
		st.RTT = time.Duration(p.rtt.Load())
	}
	return st, true
}

// Candidate is an address of a peer and how it fares.
type Candidate struct {
	Addr  netip.AddrPort
	State string        // a State constant of package paths
	RTT   time.Duration // 0 = it has not answered
	Since time.Time     // of the last answer, or of the first probe or data without one; zero: unknown
	Why   string        // why it is not used, if there is more to say
}

// Candidates are the addresses of a peer, the most promising first.
func (b *Bind) Candidates(key mesh.Key) []Candidate {
	p := b.peer(key)
	if p == nil {
		return nil
	}
	p.way.mu.Lock()
	known := p.way.paths.Known(time.Duration(b.now()))
	p.way.mu.Unlock()
	out := make([]Candidate, len(known))
	for i, k := range known {
		out[i] = Candidate{Addr: k.Addr, State: k.State, RTT: k.RTT, Since: b.when(int64(k.Since)), Why: k.Why}
		if socks := b.net.socks.Load(); socks != nil && b.avoids(socks, k.Addr) {
			out[i] = Candidate{Addr: k.Addr, State: "refused", Why: "excluded: this host would send from an excluded address"}
		}
	}
	return out
}

// OnInitiation sets the function that is called with the key of each authenticated
// initiation; the Bind drops the initiation if it returns false. The tunnel makes the peer
// in WireGuard there. Set it before Open.
func (b *Bind) OnInitiation(accept func(mesh.Key) bool) { b.handshakes.onInitiation.Store(&accept) }

// Forget puts a peer to rest that WireGuard no longer has. The Bind forgets its sessions
// and paths, and keeps the address where it was last and the time of its last
// initiation.
func (b *Bind) Forget(key mesh.Key) {
	p := b.peer(key)
	if p == nil {
		return
	}
	b.indices.forget(p)
	b.probes.forget(p)
}

func newTxID() (id paths.TxID) { rand.Read(id[:]); return id }

// newPeer makes a peer. The caller holds peers.mu, so that RelayUp reaches every peer.
func (b *Bind) newPeer(key mesh.Key) *peer {
	p := &peer{key: key, hint: disco.HintFor(key, b.key)}
	p.way.paths = paths.New(newTxID)
	p.way.paths.SetMTU(b.mtu)
	if b.relay != nil {
		p.way.paths.SetRelay(time.Duration(b.now()), b.relay.up.Load())
	}
	p.viaRelay = &endpoint{key: key, relay: true}
	p.viaRelay.owner.Store(p)
	return p
}

func (b *Bind) peer(key mesh.Key) *peer { return b.peers.get(key) }

// owner finds the peer of an endpoint; nil if it was removed.
func (b *Bind) owner(e *endpoint) *peer {
	p := e.owner.Load()
	if p != nil && !p.removed.Load() {
		return p
	}
	key := e.key
	var m opened
	if e.opening != nil {
		m, _ = b.handshakes.opener.open(e.opening[:])
		key = m.key
	}
	if p = b.peer(key); p == nil {
		return nil
	}
	e.owner.Store(p)
	if secret := b.secret(p); e.opening != nil && secret != nil { // WireGuard has accepted it
		if at, ok := m.time(e.opening[:], secret); ok {
			p.identity.note(at)
		}
	}
	return p
}
