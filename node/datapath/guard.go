package datapath

import (
	"net/netip"
	"sync"

	"nexd/netmap"
	"nexd/tunnel/filter"
)

// guard keeps WireGuard out of WireGuard. A node in a network that this node advertises has an
// address there, which is a path for its neighbours. A node elsewhere may reach the same address
// through the mesh, if its own gateway is a router of the mesh. This node, where such packets
// leave the mesh, drops them.
type guard struct {
	filter *filter.Filter

	mu sync.Mutex // guards what follows
	guarded
}

type guarded struct {
	view *netmap.View
	self []netip.AddrPort // this node's own endpoints
}

// set changes what the guard knows.
func (g *guard) set(change func(*guarded)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	change(&g.guarded)
	if g.view != nil {
		g.filter.SetEndpoints(g.view.Endpoints(g.self))
	}
}
