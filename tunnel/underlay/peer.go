package underlay

import (
	"bytes"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"nexd/mesh"
	"nexd/tunnel/arrived"
	"nexd/tunnel/disco"
	"nexd/tunnel/paths"
)

// sourcesKept bounds the endpoints cached for one peer. Anybody who has seen a packet
// can add one more.
const sourcesKept = 32

// peer is a node of the network map.
type peer struct {
	key      mesh.Key
	hint     disco.Hint // of its probes to this node
	viaRelay *endpoint  // the peer through the relay
	removed  atomic.Bool

	stray   atomic.Int64 // moment of the last OnStray
	rtt     atomic.Int64 // of the last handshake that this node began
	touchAt atomic.Int64 // moment from which traffic is reported to the state machine again
	stepped atomic.Int64 // moment of the last event of the state machine

	prober atomic.Pointer[prober] // nil until a probe is sent or received
	route  atomic.Pointer[route]  // nil = to the source of the last authenticated packet

	sent     arrived.Sent
	received arrived.Received
	reports  atomic.Bool // the peer sends reports, and thus reads them

	silence  silence
	identity identity
	sources  sources
	way      way

	indices []uint32 // guarded by indexTable.mu
	turn    uint64   // of the SetPeers that named it last; guarded by peerSet.mu
}

// way is the choice of where packets to a peer go.
type way struct {
	mu         sync.Mutex // guards what follows
	paths      *paths.Peer
	told       paths.Path // the last path in the log
	changes    paths.Changes
	largest    int    // the last size told
	initiation []byte // the last one
	initiated  int64  // moment of the last initiation; 0 = none
}

// identity is how a peer proves in an initiation that it is the peer.
type identity struct {
	secret atomic.Pointer[[32]byte] // shared by its key and this node's; nil until needed

	mu     sync.Mutex // guards what follows
	latest stamp      // of its initiations
}

// order compares the time of an initiation with the latest one of the peer: it is above
// 0 for a later time and 0 for a copy.
func (i *identity) order(at stamp) int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return bytes.Compare(at[:], i.latest[:])
}

// note keeps the time of an initiation. The time outlives the peer in WireGuard:
// otherwise somebody could replay old initiations to the peer's next life there.
func (i *identity) note(at stamp) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if bytes.Compare(at[:], i.latest[:]) > 0 {
		i.latest = at
	}
}

// sources are the endpoints of a peer, by address.
type sources struct {
	current atomic.Pointer[endpoint] // of the last authenticated packet, as WireGuard passed it to Send
	last    atomic.Pointer[endpoint] // of the last packet, to spare the map

	mu sync.Mutex // guards what follows
	m  map[netip.AddrPort]*endpoint
}

// rest gives back what only a peer with traffic needs.
func (p *peer) rest() {
	p.silence.forget()
	p.sources.mu.Lock()
	if e := p.sources.current.Load(); e != nil && !e.addr.IsValid() {
		p.sources.current.Store(nil)
	}
	p.sources.last.Store(nil)
	p.sources.m = nil
	p.sources.mu.Unlock()

	p.way.mu.Lock()
	p.way.paths.Rest()
	p.way.told, p.way.initiation, p.way.initiated = paths.Path{}, nil, 0
	p.route.Store(nil)
	p.way.mu.Unlock()

	p.identity.secret.Store(nil)
	p.prober.Store(nil)
}

// endpoint is the cached endpoint of the peer at addr, from which a packet came to this host's
// address at.
func (p *peer) endpoint(addr netip.AddrPort, at netip.Addr) *endpoint {
	if e := p.sources.last.Load(); e != nil && e.addr == addr && e.origin.at == at {
		return e
	}
	e := p.arrived(addr, at)
	p.sources.last.Store(e)
	return e
}

// cached is the cached endpoint of the peer at addr.
func (p *peer) cached(addr netip.AddrPort) *endpoint {
	p.sources.mu.Lock()
	defer p.sources.mu.Unlock()
	return p.cachedLocked(addr)
}

// cachedLocked is cached for a caller that holds sources.mu.
func (p *peer) cachedLocked(addr netip.AddrPort) *endpoint {
	s := &p.sources
	e := s.m[addr]
	if e == nil {
		if s.m == nil || len(s.m) >= sourcesKept {
			s.m = make(map[netip.AddrPort]*endpoint, 1)
			if current := s.current.Load(); current != nil && current.addr.IsValid() { // keep what is known of it
				s.m[current.addr] = current
			}
		}
		if e = s.m[addr]; e == nil {
			e = p.newEndpoint(addr, netip.Addr{})
			s.m[addr] = e
		}
	}
	return e
}

// heard is the moment of the last packet from the peer, from its last address or through
// the relay.
func (p *peer) heard() int64 {
	var at int64
	if e := p.sources.last.Load(); e != nil {
		at = e.heard.Load()
	}
	return max(at, p.viaRelay.heard.Load())
}

// candidates are the addresses that the network map has. The caller must not change them.
func (p *peer) candidates() []netip.AddrPort {
	p.way.mu.Lock()
	defer p.way.mu.Unlock()
	return p.way.paths.Candidates()
}

// pendingInitiation is the last initiation while its answer is due, else nil.
func (p *peer) pendingInitiation(now int64) []byte {
	p.way.mu.Lock()
	defer p.way.mu.Unlock()
	at := p.way.initiated
	if at == 0 || time.Duration(now-at) > paths.InitiationLife || p.heard() > at {
		return nil
	}
	return slices.Clone(p.way.initiation)
}
