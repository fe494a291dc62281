package hub

import (
	"context"
	"time"

	"nexd/mesh"
)

// presence reports whether a node is online and when it was last seen; lastSeen is
// what the snapshot says.
type presence func(id mesh.NodeID, lastSeen time.Time) (online bool, seen time.Time)

// presenceOf copies who watches an organization. A node that watches at another
// replica is known by its fresh mark in the database.
func (h *Hub) presenceOf(org mesh.OrgID) presence {
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

// Watching lists the nodes that watch here.
func (h *Hub) Watching() map[mesh.OrgID][]mesh.NodeID {
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

// Touch marks nodes as seen now, for other replicas and for the time after this
// process. Run does so every half minute for the nodes that watch here.
func (h *Hub) Touch(ctx context.Context, nodes map[mesh.OrgID][]mesh.NodeID) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	for org, ids := range nodes {
		if err := h.store.Touch(ctx, org, ids...); err != nil {
			h.answered(ctx, err)
			return
		}
	}
}
