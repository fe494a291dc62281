package relay

import (
	"testing"
	"time"

	"nexd/mesh"
)

func TestWaitsGrowAndStayUnderTheBound(t *testing.T) {
	b := backoff{most: 5 * time.Second}
	away := mesh.Errorf(mesh.Unavailable, "away")
	for i := range 100 {
		w := b.next(0, away)
		if i == 0 && w > waitFirst || w > b.most || w < waitFirst/2 {
			t.Errorf("wait %d: %v", i, w)
		}
	}
	if w := b.next(time.Minute, away); w > waitFirst {
		t.Errorf("after a good connection: %v", w)
	}
	if w := b.next(time.Minute, &byeError{ByeReplaced, ""}); w < waitReplaced/2 {
		t.Errorf("after being replaced: %v", w)
	}
	if w := b.next(0, mesh.Errorf(mesh.Denied, "no")); w < waitDenied/2 {
		t.Errorf("after being denied: %v", w)
	}
}

func TestForeignTextCannotWriteLogLines(t *testing.T) {
	e := &byeError{ByeDenied, "no\nlevel=ERROR \x1b[31mroot\u202e"}
	if got := e.Error(); got != "relay closed the connection: denied: nolevel=ERROR [31mroot" {
		t.Errorf("%q", got)
	}
}
