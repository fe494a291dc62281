package hub

import "nexd/mesh"

// Notifier tells a Hub that something was committed, so that the hub reads the
// database before its next poll. A store takes Notify as its Options.OnCommit; the
// notifier exists before both. A lost notification costs one poll interval, nothing
// else.
type Notifier struct{ c chan struct{} }

// NewNotifier makes a notifier for one hub.
func NewNotifier() *Notifier { return &Notifier{c: make(chan struct{}, 1)} }

// Notify reports a commit in an organization. It never blocks.
func (n *Notifier) Notify(mesh.OrgID) {
	select {
	case n.c <- struct{}{}:
	default:
	}
}
