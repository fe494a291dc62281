package netmap

import (
	"encoding/json"
	"net/netip"
	"slices"
	"testing"

	"nexd/mesh"
)

func mapOf(epoch string, rev uint64, peers ...mesh.NodeID) *mesh.NetworkMap {
	m := &mesh.NetworkMap{Version: mesh.Version{Epoch: epoch, Rev: rev}, Self: mesh.Node{ID: "me"}}
	for _, id := range peers {
		m.Peers = append(m.Peers, mesh.Node{ID: id, Name: string(id)})
	}
	return m
}

// holder is a view that changes, as a node keeps one.
type holder struct{ *View }

func hold(first *mesh.NetworkMap) *holder {
	h := &holder{New(nil)}
	h.replace(first)
	return h
}

func (h *holder) replace(m *mesh.NetworkMap) (changed bool) {
	h.View, changed = h.View.Replace(m)
	return changed
}

func (h *holder) update(whole bool, nodes ...mesh.LiveNode) (changed bool) {
	h.View, changed = h.View.Update(nodes, whole)
	return changed
}

func at(id mesh.NodeID, ep string) mesh.LiveNode {
	return mesh.LiveNode{ID: id, Endpoints: []netip.AddrPort{netip.MustParseAddrPort(ep)}, Online: true}
}

func peerIDs(m *mesh.NetworkMap) (ids []mesh.NodeID) {
	for _, n := range m.Peers {
		ids = append(ids, n.ID)
	}
	return ids
}

func endpointOf(m *mesh.NetworkMap, name string) string {
	for _, n := range append(slices.Clip(m.Peers), m.Self) {
		if n.Name == name && len(n.Endpoints) > 0 {
			return n.Endpoints[0].String()
		}
	}
	return ""
}

func TestViewJoinsMapsAndWhatIsLive(t *testing.T) {
	v := hold(nil)
	if v.Source() != nil || !v.Empty() || v.Version != (mesh.Version{}) || v.update(true, at("a", "192.0.2.1:1")) {
		t.Error("an empty view shows something")
	}
	v.replace(mapOf("e", 5, "a", "b"))
	v.update(true, at("a", "192.0.2.1:1"), at("ghost", "192.0.2.9:1"))
	if m := v.Source(); endpointOf(m, "a") != "192.0.2.1:1" || endpointOf(m, "b") != "" || len(m.Peers) != 2 {
		t.Errorf("map = %+v", m)
	}
	v.update(false, at("b", "192.0.2.2:1"))
	v.replace(mapOf("e", 6, "a", "b", "c"))
	if m := v.Source(); endpointOf(m, "a") != "192.0.2.1:1" || endpointOf(m, "b") != "192.0.2.2:1" || len(m.Peers) != 3 {
		t.Errorf("a new map forgot endpoints: %+v", m)
	}
	v.update(true, at("c", "192.0.2.3:1"))
	if m := v.Source(); endpointOf(m, "a") != "" || endpointOf(m, "c") != "192.0.2.3:1" {
		t.Errorf("whole did not replace: %+v", m)
	}
	own := v.Source()
	own.Peers[0].Name = "changed"
	if v.Source().Peers[0].Name == "changed" {
		t.Error("the map is not the caller's own")
	}
}

// Nothing but a newer map takes a peer away (netbird issue 2090: an empty map from
// a slow database cut everybody off).
func TestViewNeverShrinksByMistake(t *testing.T) {
	v := hold(mapOf("e", 5, "a", "b"))
	for name, apply := range map[string]func() bool{
		"an older map":      func() bool { return v.replace(mapOf("e", 4)) },
		"the same revision": func() bool { return v.replace(mapOf("e", 5)) },
		"no map":            func() bool { return v.replace(nil) },
		"nothing live":      func() bool { return v.update(false) },
	} {
		if apply() {
			t.Errorf("%s counts as a change", name)
		}
		if got := peerIDs(v.Source()); !slices.Equal(got, []mesh.NodeID{"a", "b"}) {
			t.Errorf("%s left %v", name, got)
		}
	}
	v.update(true)
	if got := peerIDs(v.Source()); !slices.Equal(got, []mesh.NodeID{"a", "b"}) {
		t.Errorf("live, whole and empty left %v", got)
	}
	v.replace(mapOf("f", 1, "a"))
	if got := peerIDs(v.Source()); !slices.Equal(got, []mesh.NodeID{"a"}) {
		t.Errorf("another epoch left %v", got)
	}
}

func TestViewKeepsEndpointsOfTheKeptMap(t *testing.T) {
	kept := mapOf("e", 5, "a", "b")
	kept.Peers[0].Endpoints = []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:1")}
	b, err := json.Marshal(kept)
	if err != nil {
		t.Fatal(err)
	}
	var read mesh.NetworkMap
	if err := json.Unmarshal(b, &read); err != nil {
		t.Fatal(err)
	}
	v := hold(&read)
	v.replace(mapOf("e", 6, "a", "c"))
	if m := v.Source(); endpointOf(m, "a") != "192.0.2.1:1" {
		t.Errorf("endpoints of the kept map are lost: %+v", m)
	}
}

func TestViewCarriesWhatNodesSayOfTheirNATs(t *testing.T) {
	v := hold(nil)
	v.replace(mapOf("e", 5, "a", "b"))
	a, b := at("a", "192.0.2.1:1"), at("b", "192.0.2.2:1")
	a.NAT, b.NAT = mesh.NATDependent, "a word of a later version"
	v.update(true, a, b)
	nats := func() (out []mesh.NAT) {
		for _, n := range v.Source().Peers {
			out = append(out, n.NAT)
		}
		return out
	}
	if got := nats(); !slices.Equal(got, []mesh.NAT{mesh.NATDependent, mesh.NATUnknown}) {
		t.Errorf("NATs %q", got)
	}
	kept := v.Source()
	v = hold(kept)
	v.replace(mapOf("e", 6, "a", "b"))
	if got := nats(); got[0] != mesh.NATDependent {
		t.Errorf("a new map forgot the NATs: %q", got)
	}
}
