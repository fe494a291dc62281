package netmap

import (
	"net/netip"
	"slices"

	"nexd/internal/lpm"
	"nexd/mesh"
)

// View is what a node knows of its mesh at one moment. The embedded map holds only
// what the node may use of the service's map: see Rejected. A View and everything
// reachable through it must not be changed.
type View struct {
	mesh.NetworkMap
	Granted  []mesh.Advertisement // prefixes that this node wants to advertise and the map grants
	Rejected []string             // what the node does not use of the map, for people

	wanted []mesh.Advertisement
	source *mesh.NetworkMap // the last map, with the endpoints it came with; nil before the first
	live   map[mesh.NodeID]mesh.LiveNode

	owner  map[netip.Addr]*mesh.Node
	names  map[string]*mesh.Node
	pools  *lpm.Set
	routes *lpm.Table[*mesh.Node] // the prefixes that peers advertise
}

// New returns the view of a node that has no map yet. wanted is what the node's user
// told it to advertise.
func New(wanted []mesh.Advertisement) *View {
	return (&View{wanted: wanted}).build()
}

// Empty reports whether there is no map yet.
func (v *View) Empty() bool { return v.source == nil }

// Replace returns the view with another map, and whether that map was taken. A map
// that is not newer than the one at hand is ignored. Endpoints of nodes that both maps
// have are kept until the next Update.
func (v *View) Replace(m *mesh.NetworkMap) (next *View, changed bool) {
	if m == nil || v.source != nil && !m.Version.Replaces(v.source.Version) {
		return v, false
	}
	next = &View{wanted: v.wanted, source: m, live: v.carryOver(m)}
	return next.build(), true
}

// Update returns the view with newer endpoints and presence of nodes, and whether that
// may have changed anything. With whole, nodes replace everything known before.
func (v *View) Update(nodes []mesh.LiveNode, whole bool) (next *View, changed bool) {
	if !whole && len(nodes) == 0 {
		return v, false
	}
	live := make(map[mesh.NodeID]mesh.LiveNode, len(v.live)+len(nodes))
	if !whole {
		for id, n := range v.live {
			live[id] = n
		}
	}
	for _, n := range nodes {
		live[n.ID] = n
	}
	next = &View{wanted: v.wanted, source: v.source, live: live}
	return next.build(), !v.Empty()
}

// carryOver returns what is live about the nodes of the next map: a new map does not
// forget where its nodes are before the live event comes.
func (v *View) carryOver(next *mesh.NetworkMap) map[mesh.NodeID]mesh.LiveNode {
	live := make(map[mesh.NodeID]mesh.LiveNode, len(next.Peers)+1)
	carry := func(id mesh.NodeID) {
		if n, ok := v.live[id]; ok {
			live[id] = n
		}
	}
	carry(next.Self.ID)
	for _, n := range next.Peers {
		carry(n.ID)
	}
	if v.source == nil {
		return live
	}
	known := make(map[mesh.NodeID]bool, len(next.Peers)+1)
	known[next.Self.ID] = true
	for _, n := range next.Peers {
		known[n.ID] = true
	}
	for _, n := range append(slices.Clone(v.source.Peers), v.source.Self) {
		if _, ok := live[n.ID]; !ok && known[n.ID] && len(n.Endpoints) > 0 {
			live[n.ID] = mesh.LiveNode{ID: n.ID, Endpoints: n.Endpoints, NAT: n.NAT, Online: n.Online, LastSeen: n.LastSeen}
		}
	}
	return live
}

// Source returns the last map with endpoints and presence filled in, before any
// address or prefix was rejected; nil before the first map. The map is the caller's
// own copy, down to the nodes.
func (v *View) Source() *mesh.NetworkMap {
	if v.source == nil {
		return nil
	}
	m := *v.source
	m.Self = v.fill(m.Self)
	m.Peers = make([]mesh.Node, len(v.source.Peers))
	for i, n := range v.source.Peers {
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
