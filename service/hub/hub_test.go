package hub

import (
	"testing"
	"time"

	"nexd/mesh"
	"nexd/service/store"
)

func testHub() *Hub { return newHub(Config{}) }

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// A poll that began for watchers that have left does not serve one that came after:
// the newcomer may have registered since, and would be told that it is gone.
func TestAPollIsNotForThoseWhoCameAfterIt(t *testing.T) {
	h := testHub()
	first := h.Join("o", "ada")
	for range 5 {
		h.startPoll()
	}
	polls := h.startPoll()
	first.Close()
	second := h.Join("o", "bob")
	if err := h.refresh(t.Context(), "o", polls["o"], store.Revs{}); err != nil { // must not touch the nil store either
		t.Fatal(err)
	}
	if f, changed := second.Frame(); f != nil || isClosed(changed) {
		t.Error("the newcomer is shown a frame from before it came")
	}
}

func TestHubKeepsTheNewestWatchOfANode(t *testing.T) {
	h := testHub()
	old := h.Join("o", "ada")
	next := h.Join("o", "ada")
	if !isClosed(old.Replaced()) || isClosed(next.Replaced()) {
		t.Error("the newest watch does not win")
	}
	if f, changed := old.Frame(); f != nil || changed != nil {
		t.Error("a replaced watch is shown something")
	}
	old.Close()
	if h.followers() != 1 {
		t.Errorf("%d watches", h.followers())
	}
	next.Close()
	next.Close()
	if h.followers() != 0 || len(h.Watching()) != 0 {
		t.Errorf("%d watches are left", h.followers())
	}
}

func TestPresenceIsToldFromMarks(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	h := newHub(Config{Now: func() time.Time { return now }})
	h.Join("o", "here")
	gone := h.Join("o", "gone")
	now = now.Add(time.Second)
	gone.Close()
	now = now.Add(time.Second)
	is := h.presenceOf("o")
	for _, tt := range []struct {
		name   string
		node   mesh.NodeID
		seen   time.Time
		online bool
	}{
		{"watches here", "here", time.Time{}, true},
		{"left here", "gone", now.Add(-10 * time.Second), false},
		{"left here, seen elsewhere since", "gone", now, true},
		{"watches elsewhere", "other", now.Add(-40 * time.Second), true},
		{"was elsewhere", "other", now.Add(-2 * time.Minute), false},
		{"never seen", "other", time.Time{}, false},
	} {
		if online, _ := is(tt.node, tt.seen); online != tt.online {
			t.Errorf("%s: online %v", tt.name, online)
		}
	}
}

func TestNotifyNeverBlocks(t *testing.T) {
	n := NewNotifier()
	for range 100 {
		n.Notify("o")
	}
	if len(n.c) != 1 {
		t.Errorf("%d notifications are kept", len(n.c))
	}
}
