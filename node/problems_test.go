package node

import (
	"testing"
	"time"

	"nexd/mesh"
)

// A problem keeps the moment at which it was seen first, also if its reason changes; one that comes
// back begins anew, and one that knows its beginning keeps that.
func TestProblemsKeepTheirBeginning(t *testing.T) {
	var f firstSeen
	at := time.Unix(1000, 0)
	look := func(p ...mesh.Problem) time.Time {
		at = at.Add(time.Second)
		if all := f.note(p, at); len(all) > 0 {
			return all[0].Since
		}
		return time.Time{}
	}
	blocked := mesh.Problem{Code: CodeUDPBlocked, What: "UDP does not pass"}
	first := look(blocked)
	blocked.Why = "another reason"
	if got := look(blocked); !got.Equal(first) {
		t.Errorf("it began at %v, but %v", first, got)
	}
	look()
	if got := look(blocked); !got.Equal(at) {
		t.Errorf("it came back at %v, but %v", at, got)
	}
	blocked.Since = first
	if got := look(blocked); !got.Equal(first) {
		t.Errorf("it knows that it began at %v, but %v", first, got)
	}
}
