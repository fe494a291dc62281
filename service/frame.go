package service

import (
	"bufio"
	"encoding/json"
	"slices"
	"time"

	"nexd/control"
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
	live        map[mesh.NodeID]liveEntry
	seq         uint64 // the highest of live
}

type encodedNode struct {
	id   mesh.NodeID
	json []byte
}

type liveEntry struct {
	seq  uint64
	node control.LiveNode
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
		n.Endpoints, n.Online, n.LastSeen = nil, false, time.Time{}
		b, err := json.Marshal(n)
		if err != nil {
			return nil, mesh.Errorf(mesh.Internal, "service: node %v: %w", n.ID, err)
		}
		f.index[n.ID] = len(f.nodes)
		f.nodes = append(f.nodes, encodedNode{n.ID, b})
	}
	live := make([]control.LiveNode, len(snap.Nodes))
	for i, n := range snap.Nodes {
		live[i] = control.LiveNode{ID: n.ID, Endpoints: n.Endpoints, LastSeen: n.LastSeen}
	}
	f.setLive(live, before, is)
	return f, nil
}

// withPresence is the frame with the presence of now, all else unchanged.
func (f *frame) withPresence(is presence) *frame {
	g := *f
	live := make([]control.LiveNode, 0, len(f.live))
	for _, n := range f.nodes {
		live = append(live, f.live[n.id].node)
	}
	g.setLive(live, f, is)
	return &g
}

func (f *frame) setLive(nodes []control.LiveNode, before *frame, is presence) {
	if before != nil {
		f.seq = before.seq
	}
	next := f.seq + 1
	f.live = make(map[mesh.NodeID]liveEntry, len(nodes))
	for _, n := range nodes {
		n.Online, n.LastSeen = is(n.ID, n.LastSeen)
		e := liveEntry{seq: next, node: n}
		if before != nil {
			if old, ok := before.live[n.ID]; ok && old.node.Online == n.Online && slices.Equal(old.node.Endpoints, n.Endpoints) {
				e.seq = old.seq
			}
		}
		if e.seq == next {
			f.seq = next
		}
		f.live[n.ID] = e
	}
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

// liveSince is the live event for a watcher that has seen sequence numbers up to
// seq; whole when it has seen none. ok is false when there is nothing to say.
func (f *frame) liveSince(seq uint64, whole bool) (e control.Event, ok bool) {
	e = control.Event{Type: control.EventLive, Seq: f.seq, Whole: whole}
	for _, n := range f.nodes {
		if l := f.live[n.id]; whole || l.seq > seq {
			e.Nodes = append(e.Nodes, l.node)
		}
	}
	return e, whole || len(e.Nodes) > 0
}
