package service

import "nexd/mesh"

// Bell tells the hub that something was committed, so that it looks before its
// time. Ring is meant for store.Options.OnCommit. Losing a ring costs a poll's
// wait, nothing else.
type Bell struct{ c chan struct{} }

// NewBell makes a bell for one service.
func NewBell() *Bell { return &Bell{c: make(chan struct{}, 1)} }

// Ring never blocks.
func (b *Bell) Ring(mesh.OrgID) {
	select {
	case b.c <- struct{}{}:
	default:
	}
}
