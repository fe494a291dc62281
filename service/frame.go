package service

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

// frame is an organization as its watchers are shown it, at one moment. It is
// immutable. Each node is encoded once, however many watchers read it.
type frame struct {
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

// presence says what is known of a node's watch; lastSeen comes from the snapshot.
type presence func(id mesh.NodeID, lastSeen time.Time) (online bool, seen time.Time)

// newFrame makes a frame of a snapshot; what is live keeps the sequence numbers
// of the frame before where it did not change.
func newFrame(snap *store.Snapshot, before *frame, is presence) (*frame, error) {
	f := &frame{
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
		return nil, mesh.Errorf(mesh.Internal, "service: map of %v: %w", snap.Organization.ID, err)
	}
	f.head = head[1 : len(head)-1]
	for _, n := range snap.Nodes {
		n.Endpoints, n.NAT, n.Online, n.LastSeen = nil, mesh.NATUnknown, false, time.Time{}
		b, err := json.Marshal(n)
		if err != nil {
			return nil, mesh.Errorf(mesh.Internal, "service: node %v: %w", n.ID, err)
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

// lost are the keys that f, which may be nil, has and next has not.
func (f *frame) lost(next *frame) (keys []mesh.Key) {
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
func (f *frame) withPresence(is presence) (*frame, error) {
	g := *f
	live := make([]mesh.LiveNode, 0, len(f.live))
	for _, n := range f.nodes {
		live = append(live, f.live[n.id].node)
	}
	return &g, g.setLive(live, f, is)
}

func (f *frame) setLive(nodes []mesh.LiveNode, before *frame, is presence) error {
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
				return mesh.Errorf(mesh.Internal, "service: node %v: %w", n.ID, err)
			}
		}
		f.live[n.ID] = e
		f.recent = append(f.recent, e)
	}
	slices.SortStableFunc(f.recent, func(a, b *liveEntry) int { return cmp.Compare(b.seq, a.seq) })
	return nil
}

// unchanged is the entry of a node in the frame before, brought up to date, if
// nothing changed about which watchers have to hear.
func (f *frame) unchanged(n mesh.LiveNode) (*liveEntry, error) {
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
		return nil, mesh.Errorf(mesh.Internal, "service: node %v: %w", n.ID, err)
	}
	return &liveEntry{seq: old.seq, node: n, json: b}, nil
}

func (f *frame) has(id mesh.NodeID) bool {
	_, ok := f.index[id]
	return ok
}

// writeMap writes the map event of one node in pieces, so that a thousand watchers
// do not need a thousand copies.
func (f *frame) writeMap(w *bufio.Writer, self mesh.NodeID) error {
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

// liveNews is how many nodes a watcher that has seen sequence numbers up to seq
// has to hear of: the first so many of recent.
func (f *frame) liveNews(seq uint64, whole bool) int {
	if whole {
		return len(f.recent)
	}
	n := 0
	for n < len(f.recent) && f.recent[n].seq > seq {
		n++
	}
	return n
}

// writeLive writes the live event about the first n of recent.
func (f *frame) writeLive(w *bufio.Writer, n int, whole bool) error {
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
