package people

import (
	"context"
	"slices"
	"time"

	"nexd/control"
	"nexd/mesh"
	"nexd/service/store"
)

// need is the permission that a call requires.
type need uint8

const (
	toSee     need = iota // nodes, prefixes and people; every role
	toInspect             // keys, invitations and the audit; not members
	toApprove             // approve and deny nodes; not auditors
	toManage              // change the organization; owners and admins
	toLeave               // change one's own membership; every role
)

func (n need) changes() bool { return n == toApprove || n == toManage || n == toLeave }

// allows reports whether a role is enough.
func (n need) allows(r mesh.Role) bool {
	switch n {
	case toSee, toLeave:
		return r.Valid()
	case toInspect:
		return r.Inspects()
	case toApprove:
		return r.Approves()
	case toManage:
		return r.Manages()
	}
	return false
}

// may reports an error unless the caller's session or token permits reading, or
// changing. It refuses the zero Caller.
func (c Caller) may(change bool) error {
	switch c.Via {
	case ViaWeb:
		if c.UserID != "" {
			return nil
		}
	case ViaToken:
		if c.UserID == "" {
			break
		}
		if slices.Contains(c.Scopes, control.ScopeWrite) || !change && slices.Contains(c.Scopes, control.ScopeRead) {
			return nil
		}
		return control.Errorf(mesh.Denied, control.ReasonRole, "people: the API token has the scope read only")
	}
	return control.Errorf(mesh.Denied, control.ReasonSession, "people: nobody is signed in")
}

// acting is ctx with the caller as the actor of changes.
func (c Caller) acting(ctx context.Context) context.Context {
	a := store.Actor{UserID: c.UserID, Name: c.Email, Via: string(c.Via), From: c.From}
	if c.Via == ViaToken {
		a.Token = c.Session
	}
	return store.WithActor(ctx, a)
}

// enter finds one of the caller's organizations and checks the caller's permission
// there. The context that it returns names the caller as the actor.
func (p *People) enter(ctx context.Context, c Caller, org string, n need) (context.Context, control.Organization, error) {
	if err := c.may(n.changes()); err != nil {
		return ctx, control.Organization{}, err
	}
	orgs, err := p.organizations(ctx, c)
	if err != nil {
		return ctx, control.Organization{}, err
	}
	o, ok := pick(orgs, org)
	if !ok {
		return ctx, control.Organization{}, noOrganization(org)
	}
	if !n.allows(o.Role) {
		return ctx, control.Organization{}, control.Errorf(mesh.Denied, control.ReasonRole, "people: the role %s in organization %s does not allow this", o.Role, o.Name)
	}
	return c.acting(ctx), o, nil
}

// pick finds an organization by ID, else by name; "" is the first, which is the
// default one.
func pick(orgs []control.Organization, org string) (control.Organization, bool) {
	if org == "" && len(orgs) > 0 {
		return orgs[0], true
	}
	for _, o := range orgs {
		if string(o.ID) == org {
			return o, true
		}
	}
	for _, o := range orgs {
		if o.Name == org {
			return o, true
		}
	}
	return control.Organization{}, false
}

// notFound is the same error for a thing that does not exist and for one that belongs
// to somebody else.
func notFound(what string) error {
	return mesh.Errorf(mesh.NotFound, "people: %s not found, or you are not allowed to see it", what)
}

// noOrganization is the same error for an organization that does not exist and for one
// of which the caller is not a member.
func noOrganization(name string) error {
	if name == "" {
		return mesh.Errorf(mesh.NotFound, "people: you are not a member of any organization")
	}
	return mesh.Errorf(mesh.NotFound, "people: organization %q not found, or you are not a member", name)
}

// hide replaces what the store says about a missing thing by notFound.
func hide(err error, what string) error {
	if mesh.KindOf(err) == mesh.NotFound {
		return notFound(what)
	}
	return err
}

// later is the error of a caller who has to wait.
func later(wait time.Duration, format string, args ...any) error {
	e := control.Errorf(mesh.Exhausted, "", "people: "+format, args...)
	e.RetryAfter = max(wait.Round(time.Second), time.Second)
	return e
}
