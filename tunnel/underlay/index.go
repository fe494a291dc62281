package underlay

import (
	"sync"
	"time"
)

const (
	// indexLife is how long the table keeps an index. WireGuard takes no data on a session
	// older than 180 s, and a handshake takes seconds.
	indexLife = int64(240 * time.Second)

	// indicesKept bounds the indices of one peer. One initiation every 5 s makes 48 in
	// indexLife; a peer with more loses its own oldest ones.
	indicesKept = 64
)

// indexTable maps this node's indices to peers: the sender index of an initiation or a
// response of this node is the receiver index of every message that comes back.
type indexTable struct {
	mu sync.RWMutex
	m  map[uint32]indexEntry // guarded by mu, as is peer.indices
}

type indexEntry struct {
	p  *peer
	at int64 // moment it was recorded
}

func (t *indexTable) init() { t.m = map[uint32]indexEntry{} }

// record notes that index belongs to p.
func (t *indexTable) record(p *peer, index uint32, now int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(p.indices) > 0 {
		oldest := t.m[p.indices[0]]
		if oldest.p == p && now-oldest.at <= indexLife && len(p.indices) < indicesKept {
			break
		}
		t.drop(p, p.indices[0])
		p.indices = p.indices[1:]
	}
	if p.removed.Load() { // forget has run or is about to run
		return
	}
	t.m[index] = indexEntry{p, now}
	p.indices = append(p.indices, index)
}

// lookup finds the peer of an index.
func (t *indexTable) lookup(index uint32, now int64) (indexEntry, bool) {
	t.mu.RLock()
	e, ok := t.m[index]
	t.mu.RUnlock()
	return e, ok && now-e.at <= indexLife
}

// has reports whether a peer has an index.
func (t *indexTable) has(p *peer) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(p.indices) > 0
}

// forget drops the indices of a peer that was removed.
func (t *indexTable) forget(p *peer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, index := range p.indices {
		t.drop(p, index)
	}
	p.indices = nil
}

// drop deletes index unless it belongs to another peer by now.
func (t *indexTable) drop(p *peer, index uint32) {
	if t.m[index].p == p {
		delete(t.m, index)
	}
}
