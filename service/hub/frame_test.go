package hub

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"nexd/control"
	"nexd/mesh"
	"nexd/service/store"
)

func snapshotOf(rev uint64, names ...string) *store.Snapshot {
	s := &store.Snapshot{
		Organization: store.Organization{ID: "o", Name: "default", Pool4: netip.MustParsePrefix("100.64.0.0/10"), Pool6: netip.MustParsePrefix("fd00::/48")},
		Version:      mesh.Version{Epoch: `e"<`, Rev: rev},
	}
	for i, name := range names {
		s.Nodes = append(s.Nodes, mesh.Node{
			ID: mesh.NodeID("id-" + name), Name: name, Key: mesh.Key{byte(i + 1)},
			Addresses: []netip.Addr{netip.AddrFrom4([4]byte{100, 64, 0, byte(i + 1)})}, Prefixes: []netip.Prefix{},
			Endpoints: []netip.AddrPort{netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}), 7)},
		})
	}
	return s
}

func everybodyOff(mesh.NodeID, time.Time) (bool, time.Time) { return false, time.Time{} }

func written(t *testing.T, fn func(*bufio.Writer) error) control.Event {
	t.Helper()
	var out bytes.Buffer
	w := bufio.NewWriter(&out)
	if err := fn(w); err != nil {
		t.Fatal(err)
	}
	w.Flush()
	if bytes.Count(out.Bytes(), []byte("\n")) != 1 {
		t.Fatalf("not one line: %q", out.String())
	}
	e, err := control.ParseEvent(out.Bytes())
	if err != nil {
		t.Fatalf("%q: %v", out.String(), err)
	}
	return e
}

// mapOf is the network map of one node of the snapshot.
func mapOf(s *store.Snapshot, self mesh.Node) *mesh.NetworkMap {
	m := &mesh.NetworkMap{Version: s.Version, Organization: s.Organization.Name, Pools: s.Organization.Pools(), Self: self, Peers: []mesh.Node{}}
	for _, n := range s.Nodes {
		if n.ID != self.ID {
			m.Peers = append(m.Peers, n)
		}
	}
	return m
}

// What is pieced together by hand is what the encoder would have written.
func TestFrameWritesTheMapOfEveryNode(t *testing.T) {
	for n := 1; n < 5; n++ {
		names := []string{"ada", "bob", "cyd", "dan"}[:n]
		snap := snapshotOf(7, names...)
		f, err := newFrame(snap, nil, everybodyOff)
		if err != nil {
			t.Fatal(err)
		}
		for _, self := range snap.Nodes {
			got := written(t, func(w *bufio.Writer) error { return f.WriteMap(w, self.ID) })
			want := mapOf(snap, self)
			bare := func(n *mesh.Node) {
				n.Endpoints, n.NAT, n.Online, n.LastSeen = nil, mesh.NATUnknown, false, time.Time{}
			}
			bare(&want.Self)
			for i := range want.Peers {
				bare(&want.Peers[i])
			}
			var again mesh.NetworkMap
			b, _ := json.Marshal(want)
			if err := json.Unmarshal(b, &again); err != nil {
				t.Fatal(err)
			}
			if got.Type != control.EventMap || !reflect.DeepEqual(*got.Map, again) {
				t.Errorf("map of %s:\n%+v\nwant\n%+v", self.Name, *got.Map, again)
			}
		}
	}
}

func TestFrameTellsOfWhatChanged(t *testing.T) {
	online := map[mesh.NodeID]bool{}
	seen := time.Unix(1_800_000_000, 0)
	is := func(id mesh.NodeID, _ time.Time) (bool, time.Time) { return online[id], seen }
	first, err := newFrame(snapshotOf(1, "ada", "bob", "cyd"), nil, is)
	if err != nil {
		t.Fatal(err)
	}
	about := func(f *Frame, since uint64, whole bool) string {
		if f.Changed(since) == 0 && !whole {
			return ""
		}
		e := written(t, func(w *bufio.Writer) error { return f.WriteLive(w, since, whole) })
		if e.Type != control.EventLive || e.Whole != whole || e.Seq != f.seq {
			t.Errorf("event %+v", e)
		}
		text := ""
		for _, l := range e.Nodes {
			text += fmt.Sprintf("%s %v;", l.ID, l.Online)
		}
		return text
	}
	if got := about(first, 0, true); got != "id-ada false;id-bob false;id-cyd false;" {
		t.Errorf("whole: %s", got)
	}
	if got := about(first, first.seq, false); got != "" {
		t.Errorf("nothing new: %s", got)
	}
	online["id-bob"] = true
	seen = seen.Add(time.Minute) // of all: no news by itself
	second, err := first.withPresence(is)
	if err != nil {
		t.Fatal(err)
	}
	if got := about(second, first.seq, false); got != "id-bob true;" {
		t.Errorf("bob came: %s", got)
	}
	moved := snapshotOf(1, "ada", "bob", "cyd", "dan")
	moved.Nodes[2].Endpoints = moved.Nodes[2].Endpoints[:0]
	third, err := newFrame(moved, second, is)
	if err != nil {
		t.Fatal(err)
	}
	if got := about(third, second.seq, false); got != "id-cyd false;id-dan false;" {
		t.Errorf("cyd moved, dan is new: %s", got)
	}
	if got := about(third, first.seq, false); got != "id-cyd false;id-dan false;id-bob true;" {
		t.Errorf("for a slow one: %s", got)
	}
	if first.seq >= second.seq || second.seq >= third.seq {
		t.Errorf("sequence %d %d %d", first.seq, second.seq, third.seq)
	}
	if !bytes.Contains(third.live["id-ada"].json, []byte(`"last_seen":"2027-01-15T08:01:00Z"`)) {
		t.Errorf("last seen is not brought up to date: %s", third.live["id-ada"].json)
	}
}
