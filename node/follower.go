package node

import (
	"sync"
	"sync/atomic"
	"time"

	"nexd/control"
	"nexd/mesh"
	"nexd/netmap"
)

// readyPatience is how long a node with a cached map waits for a newer one before it
// counts as ready.
const readyPatience = 3 * time.Second

// follower puts each network map into force: the data path first, then the view that
// everything else reads. One goroutine at a time uses it, except for markReady.
type follower struct {
	view  *atomic.Pointer[netmap.View]
	path  interface{ Apply(*netmap.View) error }
	keep  func(*mesh.NetworkMap) // on disk
	ready chan struct{}
	once  sync.Once
}

func newFollower(view *atomic.Pointer[netmap.View], path interface{ Apply(*netmap.View) error }, keep func(*mesh.NetworkMap)) *follower {
	return &follower{view: view, path: path, keep: keep, ready: make(chan struct{})}
}

func (f *follower) markReady() { f.once.Do(func() { close(f.ready) }) }

// apply puts a new view into force.
func (f *follower) apply(v *netmap.View) error {
	if err := f.path.Apply(v); err != nil {
		return err
	}
	f.view.Store(v)
	return nil
}

// begin puts a map of an earlier run into force.
func (f *follower) begin(kept *mesh.NetworkMap) error {
	v, _ := f.view.Load().Replace(kept)
	return f.apply(v)
}

// version returns the version of the map in force.
func (f *follower) version() mesh.Version { return f.view.Load().Version }

// event handles one event of the watch.
func (f *follower) event(e control.Event) error {
	v, changed := next(f.view.Load(), e)
	if changed {
		if err := f.apply(v); err != nil {
			return err
		}
		f.keep(v.Source())
	}
	if v.Empty() {
		f.view.Store(v) // it holds the endpoints of nodes in the map to come
		return nil
	}
	if e.Type == control.EventLive || e.Type == control.EventUnchanged {
		f.markReady() // the map and where its nodes are have come
	}
	return nil
}

// next is the view after an event of the watch, and whether anything changed.
func next(v *netmap.View, e control.Event) (*netmap.View, bool) {
	switch e.Type {
	case control.EventMap:
		return v.Replace(e.Map)
	case control.EventLive:
		return v.Update(e.Nodes, e.Whole)
	}
	return v, false
}
