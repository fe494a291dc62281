package people

import (
	"context"
	"net/netip"
	"time"

	"nexd/control"
	"nexd/mesh"
	"nexd/service/store"
)

// onlineFor is how long after its last sign of life a node counts as online. A
// service marks the nodes that watch at it every half minute.
const onlineFor = 75 * time.Second

// NodeInfo is a node as its administrators see it now.
func NodeInfo(n store.Node, now time.Time) control.NodeInfo {
	return control.NodeInfo{
		ID: n.ID, Name: n.Name, Hostname: n.Hostname, Key: n.Key, OS: n.OS, Version: n.Version, Addresses: n.Addresses,
		Prefixes: append([]mesh.Holding{}, n.Prefixes...), Endpoints: n.Endpoints, Created: n.Created, LastSeen: n.LastSeen,
		Online: now.Sub(n.LastSeen) < onlineFor,
	}
}

func (p *People) nodeInfo(n store.Node) control.NodeInfo { return NodeInfo(n, p.now()) }

// Nodes lists the nodes of an organization by name.
func (p *People) Nodes(ctx context.Context, c Caller, org string) ([]control.NodeInfo, error) {
	_, o, err := p.enter(ctx, c, org, toSee)
	if err != nil {
		return nil, err
	}
	ns, err := p.store.Nodes(ctx, o.ID)
	return each(ns, p.nodeInfo), err
}

// Node finds a node by ID or name.
func (p *People) Node(ctx context.Context, c Caller, org, node string) (control.NodeInfo, error) {
	_, o, err := p.enter(ctx, c, org, toSee)
	if err != nil {
		return control.NodeInfo{}, err
	}
	n, err := p.store.Node(ctx, o.ID, node)
	if err != nil {
		return control.NodeInfo{}, hide(err, "node")
	}
	return p.nodeInfo(n), nil
}

// RemoveNode removes a node for good. The result is the node as it was.
func (p *People) RemoveNode(ctx context.Context, c Caller, org, node string) (control.NodeInfo, error) {
	ctx, o, err := p.enter(ctx, c, org, toManage)
	if err != nil {
		return control.NodeInfo{}, err
	}
	n, err := p.store.RemoveNode(ctx, o.ID, node)
	if err != nil {
		return control.NodeInfo{}, hide(err, "node")
	}
	return p.nodeInfo(n), nil
}

// HoldingInfo is a held prefix as administrators see it now.
func HoldingInfo(h mesh.Holding, now time.Time) mesh.Holding {
	h.Offline = now.Sub(h.LastSeen) >= onlineFor
	return h
}

func (p *People) holdingInfo(h mesh.Holding) mesh.Holding { return HoldingInfo(h, p.now()) }

// Prefixes lists the prefixes that nodes of an organization hold, in the order of
// addresses.
func (p *People) Prefixes(ctx context.Context, c Caller, org string) ([]mesh.Holding, error) {
	_, o, err := p.enter(ctx, c, org, toSee)
	if err != nil {
		return nil, err
	}
	hs, err := p.store.Prefixes(ctx, o.ID)
	return each(hs, p.holdingInfo), err
}

// ReleasePrefix ends a node's hold on a prefix. The result is the hold as it was.
func (p *People) ReleasePrefix(ctx context.Context, c Caller, org string, prefix netip.Prefix) (mesh.Holding, error) {
	ctx, o, err := p.enter(ctx, c, org, toManage)
	switch {
	case err != nil:
		return mesh.Holding{}, err
	case !prefix.IsValid():
		return mesh.Holding{}, mesh.Errorf(mesh.Invalid, "people: the prefix is not of the form ADDRESS/BITS")
	}
	h, err := p.store.ReleasePrefix(ctx, o.ID, prefix, "")
	return h, hide(err, "prefix")
}
