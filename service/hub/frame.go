package hub

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"nexd/mesh"
	"nexd/service/store"
)

// Frame is an organization as its followers are shown it, at one moment. It is
// immutable. Each node is encoded once, however many watchers read it.
type Frame struct {
	version     mesh.Version
	endpointRev uint64
	head        []byte // the map's fields before "self", without braces
	nodes       []encodedNode
	index       map[mesh.NodeID]int
	live        map[mesh.NodeID]*liveEntry
	recent      []*liveEntry // of live, the highest seq first
	seq         uint64       // the highest of live
}

type encodedNode struct {
	id   mesh.NodeID
	key  mesh.Key
	json []byte
}

// liveEntry is what is live about a node, and since when.
type liveEntry struct {
	seq  uint64
	node mesh.LiveNode
	json []byte
}

// newFrame makes a frame of a snapshot. An entry of what is live keeps its sequence
// number from the frame before if it did not change.
func newFrame(snap *store.Snapshot, before *Frame, is presence) (*Frame, error) {
	f := &Frame{
		version: snap.Version, endpointRev: snap.EndpointRev,
		nodes: make([]encodedNode, 0, len(snap.Nodes)),
		index: make(map[mesh.NodeID]int, len(snap.Nodes)),
	}
	head, err := json.Marshal(struct {
		mesh.Version
		Organization string `json:"organization"`
		Pools        any    `json:"pools"`
	}{snap.Version, snap.Organization.Name, snap.Organization.Pools()})
	if err != nil {
		return nil, mesh.Errorf(mesh.Internal, "hub: map of %v: %w", snap.Organization.ID, err)
	}
	f.head = head[1 : len(head)-1]
	for _, n := range snap.Nodes {
		n.Endpoints, n.NAT, n.Online, n.LastSeen = nil, mesh.NATUnknown, false, time.Time{}
		b, err := json.Marshal(n)
		if err != nil {
			return nil, mesh.Errorf(mesh.Internal, "hub: node %v: %w", n.ID, err)
		}
		f.index[n.ID] = len(f.nodes)
		f.nodes = append(f.nodes, encodedNode{n.ID, n.Key, b})
	}
	live := make([]mesh.LiveNode, len(snap.Nodes))
	for i, n := range snap.Nodes {
		live[i] = mesh.LiveNode{ID: n.ID, Endpoints: n.Endpoints, NAT: n.NAT, LastSeen: n.LastSeen}
	}
	return f, f.setLive(live, before, is)
}

// lost are the keys of f, which may be nil, that next does not have.
func (f *Frame) lost(next *Frame) (keys []mesh.Key) {
	if f == nil {
		return nil
	}
	for _, n := range f.nodes {
		if i, ok := next.index[n.id]; !ok || next.nodes[i].key != n.key {
			keys = append(keys, n.key)
		}
	}
	return keys
}

// withPresence is the frame with the presence of now, all else unchanged.
func (f *Frame) withPresence(is presence) (*Frame, error) {
	g := *f
	live := make([]mesh.LiveNode, 0, len(f.live))
	for _, n := range f.nodes {
		live = append(live, f.live[n.id].node)
	}
	return &g, g.setLive(live, f, is)
}

func (f *Frame) setLive(nodes []mesh.LiveNode, before *Frame, is presence) error {
	if before != nil {
		f.seq = before.seq
	}
	next := f.seq + 1
	f.live = make(map[mesh.NodeID]*liveEntry, len(nodes))
	f.recent = make([]*liveEntry, 0, len(nodes))
	for _, n := range nodes {
		n.Online, n.LastSeen = is(n.ID, n.LastSeen)
		e, err := before.unchanged(n)
		if err != nil {
			return err
		}
		if e == nil {
			f.seq = next
			e = &liveEntry{seq: next, node: n}
			if e.json, err = json.Marshal(n); err != nil {
				return mesh.Errorf(mesh.Internal, "hub: node %v: %w", n.ID, err)
			}
		}
		f.live[n.ID] = e
		f.recent = append(f.recent, e)
	}
	slices.SortStableFunc(f.recent, func(a, b *liveEntry) int { return cmp.Compare(b.seq, a.seq) })
	return nil
}

// unchanged is the entry of a node in frame f, brought up to date, or nil if something
// changed that watchers have to hear of.
func (f *Frame) unchanged(n mesh.LiveNode) (*liveEntry, error) {
	if f == nil {
		return nil, nil
	}
	old := f.live[n.ID]
	if old == nil || old.node.Online != n.Online || old.node.NAT != n.NAT || !slices.Equal(old.node.Endpoints, n.Endpoints) {
		return nil, nil
	}
	if old.node.LastSeen.Equal(n.LastSeen) {
		return old, nil
	}
	b, err := json.Marshal(n)
	if err != nil {
		return nil, mesh.Errorf(mesh.Internal, "hub: node %v: %w", n.ID, err)
	}
	return &liveEntry{seq: old.seq, node: n, json: b}, nil
}

// Version is the version of the network map.
func (f *Frame) Version() mesh.Version { return f.version }

// Seq is the sequence number of the newest change of what is live: endpoints and
// presence.
func (f *Frame) Seq() uint64 { return f.seq }

// Has reports whether the organization has a node.
func (f *Frame) Has(id mesh.NodeID) bool {
	_, ok := f.index[id]
	return ok
}

// WriteMap writes the map event of one node in pieces, so that a thousand watchers
// do not need a thousand copies.
func (f *Frame) WriteMap(w *bufio.Writer, self mesh.NodeID) error {
	w.WriteString(`{"type":"map","map":{`)
	w.Write(f.head)
	w.WriteString(`,"self":`)
	w.Write(f.nodes[f.index[self]].json)
	w.WriteString(`,"peers":[`)
	sep := ""
	for _, n := range f.nodes {
		if n.id == self {
			continue
		}
		w.WriteString(sep)
		if _, err := w.Write(n.json); err != nil {
			return err
		}
		sep = ","
	}
	_, err := w.WriteString("]}}\n")
	return err
}

// Changed counts the nodes whose endpoints or presence changed after the sequence
// number seq.
func (f *Frame) Changed(seq uint64) int {
	n := 0
	for n < len(f.recent) && f.recent[n].seq > seq {
		n++
	}
	return n
}

// WriteLive writes the live event about the nodes that changed after the sequence
// number seq; if whole, about every node.
func (f *Frame) WriteLive(w *bufio.Writer, seq uint64, whole bool) error {
	n := len(f.recent)
	if !whole {
		n = f.Changed(seq)
	}
	fmt.Fprintf(w, `{"type":"live","seq":%d,"whole":%t,"nodes":[`, f.seq, whole)
	for i, e := range f.recent[:n] {
		if i > 0 {
			w.WriteByte(',')
		}
		if _, err := w.Write(e.json); err != nil {
			return err
		}
	}
	_, err := w.WriteString("]}\n")
	return err
}
