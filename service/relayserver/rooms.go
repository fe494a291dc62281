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

// rooms are the organizations that have nodes here.
type rooms struct {
	pool  *relay.Pool
	given atomic.Uint32 // session numbers

	mu   sync.RWMutex
	orgs map[mesh.OrgID]*room
	byID map[relay.SessionID]*node
	all  map[*node]struct{} // also those that were replaced and are on their way out
	gone removals
}

// room is one organization: whom its nodes can reach.
type room struct {
	org mesh.OrgID

	mu    sync.RWMutex // of who is here
	here  map[mesh.Key]*node
	spent sync.Mutex // of the budget
	bytes bucket.Bucket
}

func newRooms(memory int64) *rooms {
	return &rooms{pool: relay.NewPool(memory), orgs: map[mesh.OrgID]*room{}, byID: map[relay.SessionID]*node{}, all: map[*node]struct{}{}, gone: removals{until: map[member]int64{}}}
}

// newID is the number of a new session. Numbers are no secret and come again after
// four billion connections; a node that still had one then would lose UDP, not more.
func (r *rooms) newID() (id relay.SessionID) {
	binary.BigEndian.PutUint32(id[:], r.given.Add(1))
	return id
}

// join lets a node into its organization's room and says whose place it took. It is
// false if the node was removed after its token was issued.
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

// leave takes a node out, unless another connection has its place already.
func (r *rooms) leave(n *node) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.all, n)
	r.expelled(n)
}

// expel takes a node out that has still to be told why.
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

// remove remembers that a node was removed at now. Who joined before is among named.
func (r *rooms) remove(org mesh.OrgID, key mesh.Key, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gone.add(member{org, key}, now)
}

// removed says whether a node was removed after a token of it was issued.
func (r *rooms) removed(org mesh.OrgID, key mesh.Key, expires time.Time) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.gone.refuse(member{org, key}, expires.Unix())
}

// named are the connections of a key in an organization: the one that is there, and
// those on their way out.
func (r *rooms) named(org mesh.OrgID, key mesh.Key) (nodes []*node) {
	for _, n := range r.nodes() {
		if n.key == key && n.room.org == org {
			nodes = append(nodes, n)
		}
	}
	return nodes
}

// session is the node of a session on the UDP carrier; nil if there is none.
func (r *rooms) session(id relay.SessionID) *node {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.byID[id]
}

// find is the node of a key in this organization; nil if it is not here.
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

// nodes are all connections that were admitted.
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
