package service

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"nexd/mesh"
	"nexd/service/store"
)

const (
	pollEvery    = 250 * time.Millisecond // looks at the database, at the latest
	pollGap      = 50 * time.Millisecond  // between two looks, at least,
	gapPerWatch  = 200 * time.Microsecond // … and so much more for every watcher that is told,
	maxGap       = time.Second            // … up to this
	reloadEvery  = 15 * time.Second       // of presence at other replicas
	touchEvery   = 30 * time.Second       // of nodes whose watch is open here
	elsewhere    = 75 * time.Second       // a node seen so recently is watching at another replica
	storeTimeout = 10 * time.Second
)

// hub keeps the newest frame of every organization that is watched here.
type hub struct {
	store *store.Store
	bell  *Bell
	log   *slog.Logger
	now   func() time.Time
	drop  func(mesh.OrgID, mesh.Key) // told of keys that an organization no longer has; nil = nobody is

	mu   sync.Mutex
	orgs map[mesh.OrgID]*hubOrg
	away bool // the database did not answer
}

// hubOrg is one organization in the hub, guarded by the hub's mutex.
type hubOrg struct {
	watchers map[mesh.NodeID]*watcher
	left     map[mesh.NodeID]time.Time // when watches that were here closed
	frame    *frame
	looks    uint64        // how often the database was looked at, the look under way included
	gen      uint64        // the look that frame comes from
	loaded   time.Time     // when frame was last read from the database
	dirty    bool          // presence changed
	changed  chan struct{} // closed when frame or gen changes
}

// watcher is one open watch.
type watcher struct {
	org      mesh.OrgID
	node     mesh.NodeID
	since    uint64        // only a frame of a later look is sure to know the node
	replaced chan struct{} // closed when another watch of the node took over
}

func newHub(st *store.Store, bell *Bell, log *slog.Logger, now func() time.Time) *hub {
	return &hub{store: st, bell: bell, log: log, now: now, orgs: map[mesh.OrgID]*hubOrg{}}
}

// join adds a watch; an older one of the same node is told that it was replaced.
func (h *hub) join(org mesh.OrgID, node mesh.NodeID) *watcher {
	h.mu.Lock()
	defer h.mu.Unlock()
	o := h.orgs[org]
	if o == nil {
		o = &hubOrg{watchers: map[mesh.NodeID]*watcher{}, left: map[mesh.NodeID]time.Time{}, changed: make(chan struct{})}
		h.orgs[org] = o
	}
	if old := o.watchers[node]; old != nil {
		close(old.replaced)
	}
	w := &watcher{org: org, node: node, since: o.looks, replaced: make(chan struct{})}
	o.watchers[node] = w
	delete(o.left, node)
	o.dirty = true
	h.bell.Ring(org)
	return w
}

// leave ends a watch.
func (h *hub) leave(w *watcher) {
	h.mu.Lock()
	defer h.mu.Unlock()
	o := h.orgs[w.org]
	if o == nil || o.watchers[w.node] != w {
		return // replaced
	}
	delete(o.watchers, w.node)
	o.left[w.node] = h.now()
	o.dirty = true
	if len(o.watchers) == 0 {
		delete(h.orgs, w.org)
	}
	h.bell.Ring(w.org)
}

// look is the newest frame for a watcher, nil if there is none yet that is newer
// than its joining, and a channel that is closed when there is another.
func (h *hub) look(w *watcher) (*frame, <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	o := h.orgs[w.org]
	if o == nil || o.watchers[w.node] != w { // replaced; its own channel says so
		return nil, nil
	}
	if o.gen <= w.since {
		return nil, o.changed
	}
	return o.frame, o.changed
}

// watching is how many watches are open.
func (h *hub) watching() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for _, o := range h.orgs {
		n += len(o.watchers)
	}
	return n
}

// run looks at the database until ctx ends.
func (h *hub) run(ctx context.Context) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	touched := h.now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-h.bell.c:
		}
		h.poll(ctx)
		if h.now().Sub(touched) >= touchEvery {
			touched = h.now()
			h.touch(ctx, h.nodes())
		}
		select { // let changes gather
		case <-ctx.Done():
			return
		case <-time.After(min(pollGap+time.Duration(h.watching())*gapPerWatch, maxGap)):
		}
	}
}

// poll brings the frames of all watched organizations up to date.
func (h *hub) poll(ctx context.Context) {
	looks := h.startLook()
	if len(looks) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	revs, err := h.store.Revs(ctx)
	if err != nil {
		h.database(ctx, err)
		return
	}
	var trouble error
	for org, l := range looks { // one that cannot be read does not keep the others waiting
		if err := h.refresh(ctx, org, l, revs[org]); err != nil {
			trouble = err
		}
	}
	h.database(ctx, trouble)
}

// look is one look at the database for one organization. When its last watcher
// left meanwhile, and another came, the look is not for that one.
type look struct {
	org *hubOrg
	n   uint64
}

// startLook numbers a look at the database for every watched organization. A
// watcher that joins from now on waits for the next.
func (h *hub) startLook() map[mesh.OrgID]look {
	h.mu.Lock()
	defer h.mu.Unlock()
	looks := make(map[mesh.OrgID]look, len(h.orgs))
	for org, o := range h.orgs {
		o.looks++
		looks[org] = look{o, o.looks}
	}
	return looks
}

// refresh brings one organization up to date. Nothing is locked while the
// database is read; only the run goroutine replaces frames.
func (h *hub) refresh(ctx context.Context, org mesh.OrgID, l look, revs store.Revs) error {
	o := l.org
	h.mu.Lock()
	if h.orgs[org] != o {
		h.mu.Unlock()
		return nil
	}
	old := o.frame
	stale := old == nil || old.version.Rev != revs.Map || old.endpointRev != revs.Endpoints || h.now().Sub(o.loaded) >= reloadEvery
	if !stale && !o.dirty && !o.awaited() {
		h.mu.Unlock()
		return nil
	}
	o.dirty = false
	h.mu.Unlock()

	next, err := h.build(ctx, org, old, stale)
	if err == nil && stale && h.drop != nil {
		for _, key := range old.lost(next) {
			h.drop(org, key)
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil {
		o.dirty = true
		return err
	}
	o.frame, o.gen = next, l.n
	if stale {
		o.loaded = h.now()
	}
	close(o.changed)
	o.changed = make(chan struct{})
	return nil
}

// awaited says whether a watcher waits for a frame newer than the one at hand.
func (o *hubOrg) awaited() bool {
	for _, w := range o.watchers {
		if w.since >= o.gen {
			return true
		}
	}
	return false
}

func (h *hub) build(ctx context.Context, org mesh.OrgID, old *frame, stale bool) (*frame, error) {
	if !stale {
		return old.withPresence(h.presenceOf(org))
	}
	snap, err := h.store.Snapshot(ctx, org)
	switch {
	case mesh.KindOf(err) == mesh.NotFound: // the organization was removed
		return &frame{index: map[mesh.NodeID]int{}}, nil
	case err != nil:
		return nil, err
	}
	return newFrame(snap, old, h.presenceOf(org))
}

// presenceOf copies who watches an organization. A node that watches elsewhere is
// known by its fresh mark in the database.
func (h *hub) presenceOf(org mesh.OrgID) presence {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.now()
	here, left := map[mesh.NodeID]bool{}, map[mesh.NodeID]time.Time{}
	if o := h.orgs[org]; o != nil {
		for id := range o.watchers {
			here[id] = true
		}
		for id, at := range o.left {
			left[id] = at
			if now.Sub(at) > elsewhere {
				delete(o.left, id)
			}
		}
	}
	return func(id mesh.NodeID, seen time.Time) (bool, time.Time) {
		if here[id] {
			return true, now.UTC().Truncate(time.Second)
		}
		if at := left[id]; !at.Before(seen) {
			return false, at.UTC().Truncate(time.Second)
		}
		return now.Sub(seen) < elsewhere, seen
	}
}

// nodes are the nodes that watch here.
func (h *hub) nodes() map[mesh.OrgID][]mesh.NodeID {
	h.mu.Lock()
	defer h.mu.Unlock()
	nodes := map[mesh.OrgID][]mesh.NodeID{}
	for org, o := range h.orgs {
		for id := range o.watchers {
			nodes[org] = append(nodes[org], id)
		}
	}
	return nodes
}

// touch marks nodes as seen.
func (h *hub) touch(ctx context.Context, nodes map[mesh.OrgID][]mesh.NodeID) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	for org, ids := range nodes {
		if err := h.store.Touch(ctx, org, ids...); err != nil {
			h.database(ctx, err)
			return
		}
	}
}

// database logs, once per change, whether the database answers.
func (h *hub) database(ctx context.Context, err error) {
	if ctx.Err() != nil && context.Cause(ctx) == context.Canceled {
		return
	}
	h.mu.Lock()
	was := h.away
	h.away = err != nil
	h.mu.Unlock()
	switch {
	case err != nil && !was:
		h.log.Warn("database does not answer; watchers keep the maps they have", "err", err)
	case err == nil && was:
		h.log.Info("database answers again")
	}
}
