package relayserver

import (
	"time"

	"nexd/control"
	"nexd/mesh"
)

// mostRemovals bounds what is remembered; beyond it the oldest are forgotten.
const mostRemovals = 1 << 16

type member struct {
	org mesh.OrgID
	key mesh.Key
}

// removals are the nodes that were removed while tokens of theirs may still hold. A
// token does not say when it was issued, but all live equally long: one that ends no
// later than one issued at the removal is from before. (Tokens count in seconds: one
// from the very second of the removal is refused, and the node takes another.)
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

// refuse says whether a token that ends at expires, in Unix seconds, was issued to m
// before it was removed.
func (r *removals) refuse(m member, expires int64) bool {
	until, ok := r.until[m]
	return ok && expires <= until
}
