package relayserver

import (
	"time"

	"nexd/control"
	"nexd/mesh"
)

// mostRemovals bounds the number of removals in memory. Beyond it the oldest are forgotten.
const mostRemovals = 1 << 16

type member struct {
	org mesh.OrgID
	key mesh.Key
}

// removals remembers removed nodes while tokens of theirs may still be valid. A token does not
// contain the time of its issue, but all tokens have the same lifetime. So a token that expires no
// later than one issued at the removal is from before it. (Tokens count in seconds: a token from
// the second of the removal is refused, and the node requests another.)
type removals struct {
	until map[member]int64 // Unix seconds: the last end of a token from before
	order []removal        // oldest first
}

type removal struct {
	of    member
	until int64
}

func (r *removals) add(m member, now time.Time) {
	end := now.Add(control.RelayTokenLife).Unix()
	for len(r.order) > 0 && (r.order[0].until <= now.Unix() || len(r.order) >= mostRemovals) {
		if old := r.order[0]; r.until[old.of] == old.until {
			delete(r.until, old.of)
		}
		r.order = r.order[1:]
	}
	r.until[m] = end
	r.order = append(r.order, removal{m, end})
}

// refuse reports whether a token of m with this expiry, in Unix seconds, was issued before m was
// removed.
func (r *removals) refuse(m member, expires int64) bool {
	until, ok := r.until[m]
	return ok && expires <= until
}
