package node

import (
	"testing"

	"nexd/control"
	"nexd/internal/testmap"
	"nexd/mesh"
)

// Only a newer map takes a peer away; no other event of the watch does.
func TestEventsThatAreNoMapChangeNoPeers(t *testing.T) {
	v := testView(nil)
	older := testmap.Laptop()
	older.Rev, older.Peers = 0, nil
	for name, e := range map[string]control.Event{
		"an older map":    {Type: control.EventMap, Map: older},
		"no map":          {Type: control.EventMap},
		"whole and empty": {Type: control.EventLive, Whole: true},
		"unchanged":       {Type: control.EventUnchanged, Version: &mesh.Version{}},
		"gone":            {Type: control.EventGone},
		"bye":             {Type: control.EventBye},
		"unknown":         {Type: "shiny"},
	} {
		after, changed := next(v, e)
		if len(after.Peers) != 2 || changed != (e.Type == control.EventLive) {
			t.Errorf("%s: changed %v, left %v", name, changed, after.Peers)
		}
	}
	newer := testmap.Laptop()
	newer.Rev, newer.Peers = 2, newer.Peers[:1]
	if after, changed := next(v, control.Event{Type: control.EventMap, Map: newer}); !changed || len(after.Peers) != 1 {
		t.Errorf("a newer map: changed %v, left %v", changed, after.Peers)
	}
}
