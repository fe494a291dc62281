package control

import (
	"slices"

	"nexd/mesh"
)

// View joins the two halves of the watch stream: maps, and what is live about
// their nodes. It starts empty or with the map kept on disk. It is not safe for
// use by several goroutines.
type View struct {
	base *mesh.NetworkMap // with the endpoints it was kept with
	live map[mesh.NodeID]LiveNode
}

// NewView makes a view that begins with a map from an earlier run, or with nil.
func NewView(kept *mesh.NetworkMap) *View {
	return &View{base: kept, live: map[mesh.NodeID]LiveNode{}}
}

// Version is what to ask the service to go on from; zero without a map.
func (v *View) Version() mesh.Version {
	if v.base == nil {
		return mesh.Version{}
	}
	return v.base.Version
}

// Empty says whether there is no map yet.
func (v *View) Empty() bool { return v.base == nil }

// Apply takes an event and says whether the joined map may have changed. An
// older map than the one at hand is ignored.
func (v *View) Apply(e Event) (changed bool) {
	switch e.Type {
	case EventMap:
		if e.Map == nil || v.base != nil && !e.Map.Version.Replaces(v.base.Version) {
			return false
		}
		v.remember(e.Map)
		v.base = e.Map
		return true
	case EventLive:
		if e.Whole {
			clear(v.live)
		}
		for _, n := range e.Nodes {
			v.live[n.ID] = n
		}
		return v.base != nil && (e.Whole || len(e.Nodes) > 0)
	}
	return false
}

// remember keeps the endpoints of nodes that the next map still has, so that a
// new map does not forget where its nodes are until the live event comes.
func (v *View) remember(next *mesh.NetworkMap) {
	if v.base == nil {
		return
	}
	for _, n := range append(slices.Clone(v.base.Peers), v.base.Self) {
		if _, ok := v.live[n.ID]; !ok && len(n.Endpoints) > 0 {
			v.live[n.ID] = LiveNode{ID: n.ID, Endpoints: n.Endpoints, NAT: n.NAT, Online: n.Online, LastSeen: n.LastSeen}
		}
	}
	known := map[mesh.NodeID]bool{next.Self.ID: true}
	for _, n := range next.Peers {
		known[n.ID] = true
	}
	for id := range v.live {
		if !known[id] {
			delete(v.live, id)
		}
	}
}

// Map is the network map with endpoints and presence filled in, or nil before
// the first map. It is the caller's own.
func (v *View) Map() *mesh.NetworkMap {
	if v.base == nil {
		return nil
	}
	m := *v.base
	m.Self = v.fill(m.Self)
	m.Peers = make([]mesh.Node, len(v.base.Peers))
	for i, n := range v.base.Peers {
		m.Peers[i] = v.fill(n)
	}
	return &m
}

func (v *View) fill(n mesh.Node) mesh.Node {
	if l, ok := v.live[n.ID]; ok {
		n.Endpoints, n.NAT, n.Online, n.LastSeen = slices.Clone(l.Endpoints), l.NAT.Clean(), l.Online, l.LastSeen
	}
	return n
}
