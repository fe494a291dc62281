package service

import (
	"log/slog"
	"testing"
	"time"

	"nexd/mesh"
	"nexd/service/store"
)

func testHub() *hub { return newHub(nil, NewBell(), slog.New(slog.DiscardHandler), time.Now) }

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// A look that began for watchers that have left is nothing to one that came after:
// the newcomer may have registered since, and would be told that it is gone.
func TestALookIsNotForThoseWhoCameAfterIt(t *testing.T) {
	h := testHub()
	first := h.join("o", "ada")
	for range 5 {
		h.startLook()
	}
	looks := h.startLook()
	h.leave(first)
	second := h.join("o", "bob")
	if err := h.refresh(t.Context(), "o", looks["o"], store.Revs{}); err != nil { // must not touch the nil store either
		t.Fatal(err)
	}
	if f, changed := h.look(second); f != nil || isClosed(changed) {
		t.Error("the newcomer is shown a frame from before it came")
	}
}

func TestHubKeepsTheNewestWatchOfANode(t *testing.T) {
	h := testHub()
	old := h.join("o", "ada")
	next := h.join("o", "ada")
	if !isClosed(old.replaced) || isClosed(next.replaced) {
		t.Error("the newest watch does not win")
	}
	if f, changed := h.look(old); f != nil || changed != nil {
		t.Error("a replaced watch is shown something")
	}
	h.leave(old)
	if h.watching() != 1 {
		t.Errorf("%d watches", h.watching())
	}
	h.leave(next)
	h.leave(next)
	if h.watching() != 0 || len(h.nodes()) != 0 {
		t.Errorf("%d watches are left", h.watching())
	}
}

func TestPresenceIsToldFromMarks(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	h := testHub()
	h.now = func() time.Time { return now }
	h.join("o", "here")
	gone := h.join("o", "gone")
	now = now.Add(time.Second)
	h.leave(gone)
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

func TestBellNeverBlocks(t *testing.T) {
	b := NewBell()
	for range 100 {
		b.Ring("o")
	}
	if len(b.c) != 1 {
		t.Errorf("%d rings are kept", len(b.c))
	}
}
