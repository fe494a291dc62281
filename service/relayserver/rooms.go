package relayserver

import (
	"encoding/binary"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"nexd/internal/bucket"
	"nexd/mesh"
	"nexd/relay"
)

// rooms holds the organizations that have nodes connected.
type rooms struct {
	pool  *relay.Pool
	given atomic.Uint32 // session numbers

	mu   sync.RWMutex
	orgs map[mesh.OrgID]*room
	byID map[relay.SessionID]*node
	all  map[*node]struct{} // including replaced ones that are about to end
	gone removals
}

// room is one organization and its connected nodes.
type room struct {
	org mesh.OrgID

	mu    sync.RWMutex // guards here
	here  map[mesh.Key]*node
	spent sync.Mutex // guards bytes
	bytes bucket.Bucket
}

func newRooms(memory int64) *rooms {
	return &rooms{pool: relay.NewPool(memory), orgs: map[mesh.OrgID]*room{}, byID: map[relay.SessionID]*node{}, all: map[*node]struct{}{}, gone: removals{until: map[member]int64{}}}
}

// newID returns the number of a new session. Numbers are not secret and repeat after four billion
// connections; a node that still has the same number then would lose only UDP.
func (r *rooms) newID() (id relay.SessionID) {
	binary.BigEndian.PutUint32(id[:], r.given.Add(1))
	return id
}

// join adds a node to the room of its organization and returns the connection that it replaces. ok
// is false if the node was removed after its token was issued.
func (r *rooms) join(org mesh.OrgID, n *node) (before *node, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.gone.refuse(member{org, n.key}, n.expires.Load()) {
		return nil, false
	}
	o := r.orgs[org]
	if o == nil {
		o = &room{org: org, here: map[mesh.Key]*node{}}
		r.orgs[org] = o
	}
	n.room = o
	r.all[n], r.byID[n.id] = struct{}{}, n
	o.mu.Lock()
	defer o.mu.Unlock()
	before = o.here[n.key]
	o.here[n.key] = n
	if before != nil && r.byID[before.id] == before {
		delete(r.byID, before.id)
	}
	return before, true
}

// leave removes a node, unless another connection has replaced it.
func (r *rooms) leave(n *node) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.all, n)
	r.expelled(n)
}

// expel removes a node from its room before it is told why.
func (r *rooms) expel(n *node) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.expelled(n)
}

func (r *rooms) expelled(n *node) {
	if r.byID[n.id] == n {
		delete(r.byID, n.id)
	}
	o := n.room
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.here[n.key] == n {
		delete(o.here, n.key)
	}
	if len(o.here) == 0 && r.orgs[o.org] == o {
		delete(r.orgs, o.org)
	}
}

// remove records that a node was removed at now. A connection that joined before is among named.
func (r *rooms) remove(org mesh.OrgID, key mesh.Key, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gone.add(member{org, key}, now)
}

// removed reports whether a node was removed after its token was issued.
func (r *rooms) removed(org mesh.OrgID, key mesh.Key, expires time.Time) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.gone.refuse(member{org, key}, expires.Unix())
}

// named returns the connections of a key in an organization, including those that are about to end.
func (r *rooms) named(org mesh.OrgID, key mesh.Key) (nodes []*node) {
	for _, n := range r.nodes() {
		if n.key == key && n.room.org == org {
			nodes = append(nodes, n)
		}
	}
	return nodes
}

// session returns the node of a UDP session, or nil.
func (r *rooms) session(id relay.SessionID) *node {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.byID[id]
}

// find returns the connected node with a key in this organization, or nil.
func (o *room) find(key mesh.Key) *node {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return o.here[key]
}

// take spends n bytes of the organization's budget.
func (o *room) take(rate bucket.Rate, n int, now time.Time) bool {
	if rate == (bucket.Rate{}) {
		return true
	}
	o.spent.Lock()
	defer o.spent.Unlock()
	return o.bytes.Take(rate, float64(n), now)
}

// nodes returns all admitted connections.
func (r *rooms) nodes() []*node {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Collect(maps.Keys(r.all))
}

func (r *rooms) size() (nodes, orgs int) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, o := range r.orgs {
		o.mu.RLock()
		nodes += len(o.here)
		o.mu.RUnlock()
	}
	return nodes, len(r.orgs)
}
