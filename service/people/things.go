package people

import (
	"context"
	"net/netip"
	"time"

	"nexd/control"
	"nexd/mesh"
	"nexd/service/store"
)

// onlineFor is how long after its last sign of life a node counts as online; a
// service marks the nodes that watch at it every half minute.
const onlineFor = 75 * time.Second

func (p *People) device(d store.Node) control.NodeInfo {
	return control.NodeInfo{
		ID: d.ID, Name: d.Name, Hostname: d.Hostname, Key: d.Key, OS: d.OS, Version: d.Version, Addresses: d.Addresses,
		Prefixes: append([]mesh.Holding{}, d.Prefixes...), Endpoints: d.Endpoints, Created: d.Created, LastSeen: d.LastSeen,
		Online: p.now().Sub(d.LastSeen) < onlineFor,
	}
}

// Nodes lists the nodes of an organization by name.
func (p *People) Nodes(ctx context.Context, c Caller, org string) ([]control.NodeInfo, error) {
	_, o, err := p.enter(ctx, c, org, toSee)
	if err != nil {
		return nil, err
	}
	ds, err := p.store.Nodes(ctx, o.ID)
	out := make([]control.NodeInfo, len(ds))
	for i, d := range ds {
		out[i] = p.device(d)
	}
	return out, err
}

// Node finds a node by ID or name.
func (p *People) Node(ctx context.Context, c Caller, org, node string) (control.NodeInfo, error) {
	_, o, err := p.enter(ctx, c, org, toSee)
	if err != nil {
		return control.NodeInfo{}, err
	}
	d, err := p.store.Node(ctx, o.ID, node)
	if err != nil {
		return control.NodeInfo{}, hide(err, "node")
	}
	return p.device(d), nil
}

// RemoveNode removes a node for good, as it was.
func (p *People) RemoveNode(ctx context.Context, c Caller, org, node string) (control.NodeInfo, error) {
	ctx, o, err := p.enter(ctx, c, org, toManage)
	if err != nil {
		return control.NodeInfo{}, err
	}
	d, err := p.store.RemoveNode(ctx, o.ID, node)
	if err != nil {
		return control.NodeInfo{}, hide(err, "node")
	}
	return p.device(d), nil
}

// Prefixes lists what is held in an organization, in the order of addresses.
func (p *People) Prefixes(ctx context.Context, c Caller, org string) ([]mesh.Holding, error) {
	_, o, err := p.enter(ctx, c, org, toSee)
	if err != nil {
		return nil, err
	}
	return p.store.Prefixes(ctx, o.ID)
}

// ReleasePrefix ends the hold on a prefix and says what it was.
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

// Keys lists the registration keys of an organization, newest first.
func (p *People) Keys(ctx context.Context, c Caller, org string) ([]store.RegistrationKey, error) {
	_, o, err := p.enter(ctx, c, org, toInspect)
	if err != nil {
		return nil, err
	}
	return p.store.Keys(ctx, o.ID)
}

// CreateKey makes a registration key. text, with the service's pin behind it, is
// not to be had again.
func (p *People) CreateKey(ctx context.Context, c Caller, org string, params store.KeyParams) (k store.RegistrationKey, text string, err error) {
	ctx, o, err := p.enter(ctx, c, org, toManage)
	if err != nil {
		return k, "", err
	}
	k, secret, err := p.store.CreateKey(ctx, o.ID, params)
	if err != nil {
		return k, "", err
	}
	key, err := control.ParseRegKey(secret)
	return k, key.WithPin(p.cfg.Pin).Text(), err
}

// RevokeKey ends a key, named by ID or its first characters.
func (p *People) RevokeKey(ctx context.Context, c Caller, org, key string) (store.RegistrationKey, error) {
	ctx, o, err := p.enter(ctx, c, org, toManage)
	if err != nil {
		return store.RegistrationKey{}, err
	}
	k, err := p.store.RevokeKey(ctx, o.ID, key)
	return k, hide(err, "registration key")
}

// AuditPage is how many entries a page of the audit has if nothing else is asked
// for; mostEntries is the most.
const (
	AuditPage   = 50
	mostEntries = 500
)

// Audit is a page of what happened in an organization, newest first: at most limit
// entries (0 = 50, at most 500) older than the entry before ("" = from the newest).
func (p *People) Audit(ctx context.Context, c Caller, org, before string, limit int) ([]store.AuditEntry, error) {
	_, o, err := p.enter(ctx, c, org, toInspect)
	if err == nil {
		limit, err = auditLimit(before, limit)
	}
	if err != nil {
		return nil, err
	}
	return p.store.Audit(ctx, o.ID, before, limit)
}

// OwnAudit is a page, as of Audit, of what happened to the caller's account and API
// tokens, which belong to no organization.
func (p *People) OwnAudit(ctx context.Context, c Caller, before string, limit int) ([]store.AuditEntry, error) {
	err := c.may(false)
	if err == nil {
		limit, err = auditLimit(before, limit)
	}
	if err != nil {
		return nil, err
	}
	return p.store.PersonAudit(ctx, c.Email, before, limit)
}

// auditLimit checks what page of the audit is asked for, and says how long it is.
func auditLimit(before string, limit int) (int, error) {
	switch {
	case limit < 0 || limit > mostEntries:
		return 0, mesh.Errorf(mesh.Invalid, "people: a page of %d entries; at most %d", limit, mostEntries)
	case len(before) > mostSecret:
		return 0, mesh.Errorf(mesh.Invalid, "people: before is no entry's ID")
	case limit == 0:
		limit = AuditPage
	}
	return limit, nil
}
