package hub

import (
	"time"

	"nexd/mesh"
)

// follower is what subscriptions and watchers have in common.
type follower struct {
	hub   *Hub
	org   mesh.OrgID
	since uint64 // only a frame of a later poll is sure to know what was committed before
}

// Subscription follows one organization until Close.
type Subscription struct{ follower }

// Watcher is a node that watches its organization: the node is online until Close. A
// newer watcher of the same node replaces it.
type Watcher struct {
	follower
	node     mesh.NodeID
	replaced chan struct{}
	twin     chan struct{}
}

// Subscribe follows an organization without a node: for pages that show changes as
// they happen. It does not check that the organization exists, nor who asks.
func (h *Hub) Subscribe(org mesh.OrgID) *Subscription {
	h.mu.Lock()
	defer h.mu.Unlock()
	o := h.follow(org)
	s := &Subscription{follower{h, org, o.polls}}
	o.subscribers[s] = struct{}{}
	h.notifier.Notify(org)
	return s
}

// Join adds a node that watches.
func (h *Hub) Join(org mesh.OrgID, node mesh.NodeID) *Watcher {
	h.mu.Lock()
	defer h.mu.Unlock()
	o := h.follow(org)
	if old := o.watchers[node]; old != nil {
		close(old.replaced)
	}
	w := &Watcher{follower: follower{h, org, o.polls}, node: node, replaced: make(chan struct{}), twin: make(chan struct{}, 1)}
	o.watchers[node] = w
	delete(o.left, node)
	o.dirty = true
	h.notifier.Notify(org)
	return w
}

// follow is the organization's place in the hub, made if need be. Called with mu held.
func (h *Hub) follow(org mesh.OrgID) *followed {
	o := h.orgs[org]
	if o == nil {
		o = &followed{
			watchers: map[mesh.NodeID]*Watcher{}, subscribers: map[*Subscription]struct{}{}, left: map[mesh.NodeID]time.Time{},
			changed: make(chan struct{}),
		}
		h.orgs[org] = o
	}
	return o
}

// unfollow forgets an organization that nobody follows any more. Called with mu held.
func (h *Hub) unfollow(org mesh.OrgID, o *followed) {
	if len(o.watchers) == 0 && len(o.subscribers) == 0 {
		delete(h.orgs, org)
	}
}

// Close ends the subscription.
func (s *Subscription) Close() {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	if o := s.hub.orgs[s.org]; o != nil {
		delete(o.subscribers, s)
		s.hub.unfollow(s.org, o)
	}
}

// Frame is the newest frame of the organization, nil while there is none that is
// newer than the subscription, and a channel that is closed when there may be a newer
// one. After Close both are nil.
func (s *Subscription) Frame() (*Frame, <-chan struct{}) {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	o := s.hub.orgs[s.org]
	if o == nil {
		return nil, nil
	}
	if _, ok := o.subscribers[s]; !ok {
		return nil, nil
	}
	return o.newest(s.since)
}

// Frame is as of Subscription; a watcher that was replaced gets neither frame nor
// channel, since Replaced tells it.
func (w *Watcher) Frame() (*Frame, <-chan struct{}) {
	w.hub.mu.Lock()
	defer w.hub.mu.Unlock()
	o := w.hub.orgs[w.org]
	if o == nil || o.watchers[w.node] != w {
		return nil, nil
	}
	return o.newest(w.since)
}

// newest is the frame for a follower of poll since. Called with the hub's mu held.
func (o *followed) newest(since uint64) (*Frame, <-chan struct{}) {
	if o.poll <= since {
		return nil, o.changed
	}
	return o.frame, o.changed
}

// Org is the organization that is watched.
func (w *Watcher) Org() mesh.OrgID { return w.org }

// Node is the node that watches.
func (w *Watcher) Node() mesh.NodeID { return w.node }

// Replaced is closed when a newer watcher of the same node joins.
func (w *Watcher) Replaced() <-chan struct{} { return w.replaced }

// Twin receives when another agent with the node's key asked whether this watcher is still there.
func (w *Watcher) Twin() <-chan struct{} { return w.twin }

// Watched reports whether a node has a watcher, and tells the watcher that somebody asked.
func (h *Hub) Watched(org mesh.OrgID, node mesh.NodeID) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	o := h.orgs[org]
	if o == nil || o.watchers[node] == nil {
		return false
	}
	select {
	case o.watchers[node].twin <- struct{}{}:
	default:
	}
	return true
}

// Close ends the watch: the node is offline, unless it was replaced.
func (w *Watcher) Close() {
	h := w.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	o := h.orgs[w.org]
	if o == nil || o.watchers[w.node] != w {
		return // replaced
	}
	delete(o.watchers, w.node)
	o.left[w.node] = h.now()
	o.dirty = true
	h.unfollow(w.org, o)
	h.notifier.Notify(w.org)
}
