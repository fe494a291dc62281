package datapath

import (
	"log/slog"
	"net/netip"
	"slices"
	"sync"

	"nexd/mesh"
	"nexd/netmap"
	"nexd/tunnel/candidates"
	"nexd/tunnel/filter"
	"nexd/tunnel/underlay"
)

// guard says which addresses may not be a path, to the rooms that ask.
//
// It keeps WireGuard out of WireGuard: a node in a network that this node advertises has an
// address there, which is a path for its neighbours. A node elsewhere may reach the same address
// through the mesh, if its own gateway is a router of the mesh. The nodes where such packets enter
// and leave the mesh drop them.
type guard struct {
	filter  *filter.Filter
	bind    *underlay.Bind
	exclude candidates.Exclusion

	mu      sync.Mutex // guards what follows
	view    *netmap.View
	self    []netip.AddrPort   // this node's own endpoints
	host    candidates.Avoided // as the interfaces were when they could last be read
	refused []netip.Prefix     // host and the pools
	log     *slog.Logger
}

// setView takes another network map, and tells the underlay the peers in it.
func (g *guard) setView(v *netmap.View) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.view = v
	g.look()
	g.apply()
}

// setSelf takes this node's own endpoints.
func (g *guard) setSelf(addrs []netip.AddrPort) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.self = addrs
	if g.view != nil {
		g.filter.SetEndpoints(g.view.Endpoints(g.self))
	}
}

// networkChanged looks at the interfaces again: one that is excluded may have appeared.
func (g *guard) networkChanged() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.look() && g.view != nil {
		g.apply()
	}
}

// look reads the interfaces and reports whether what is excluded has changed. The caller holds mu.
func (g *guard) look() (changed bool) {
	now, err := g.exclude.Host()
	if err != nil { // such as without a free descriptor: what was excluded stays so
		g.log.Debug("interfaces not read", "err", err)
		return false
	}
	for _, name := range now.Missing {
		if !slices.Contains(g.host.Missing, name) {
			g.log.Warn("no interface has the excluded name now; it is excluded when it appears", "interface", name)
		}
	}
	changed = !slices.Equal(now.Nets, g.host.Nets) || !slices.Equal(now.Own, g.host.Own)
	g.host = now
	return changed
}

func (g *guard) apply() {
	g.filter.SetEndpoints(g.view.Endpoints(g.self))
	g.refused = slices.Concat(g.view.Pools, g.host.Nets)
	g.bind.SetRefused(g.refused, g.host.Own)
	peers := make([]underlay.Peer, len(g.view.Peers))
	for i, p := range g.view.Peers {
		peers[i] = underlay.Peer{Key: p.Key, Candidates: netmap.Filter(p.Endpoints, func(ep netip.AddrPort) bool { return g.why(ep.Addr()) == "" })}
	}
	g.bind.SetPeers(peers)
}

// why returns why an address may not be a path; empty: it may. The caller holds mu.
func (g *guard) why(a netip.Addr) string {
	i := slices.IndexFunc(g.refused, func(p netip.Prefix) bool { return p.Contains(a.Unmap()) })
	switch {
	case i < 0:
		return ""
	case i < len(g.view.Pools):
		return "in the range of the mesh's own addresses"
	}
	return "excluded: network " + g.refused[i].String()
}

// Refused returns those of a node's endpoints that may not be a path, with the reason.
func (d *Path) Refused(n *mesh.Node) (out []candidates.Candidate) {
	g := &d.guard
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, e := range n.Endpoints {
		if why := g.why(e.Addr()); why != "" {
			out = append(out, candidates.Candidate{Addr: e, Skipped: why})
		}
	}
	return out
}

// Why returns why an address may not be a path; empty: it may.
func (d *Path) Why(a netip.Addr) string {
	d.guard.mu.Lock()
	defer d.guard.mu.Unlock()
	return d.guard.why(a)
}

// LookAtExcluded notices excluded interfaces that came or went.
func (d *Path) LookAtExcluded() { d.guard.networkChanged() }
