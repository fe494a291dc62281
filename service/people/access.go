package people

import (
	"context"
	"slices"
	"time"

	"nexd/control"
	"nexd/mesh"
	"nexd/service/store"
)

// need is what a call asks of the caller's role and way of coming.
type need uint8

const (
	toSee     need = iota // nodes, prefixes, people: every role
	toInspect             // keys, invitations, audit: not members
	toUse                 // let own nodes in: not auditors
	toManage              // change things: owners and admins
	toLeave               // end one's own membership: every role, but a change
)

func (n need) changes() bool { return n == toUse || n == toManage || n == toLeave }

// allows says whether a role is enough.
func (n need) allows(r mesh.Role) bool {
	switch n {
	case toSee, toLeave:
		return r.Valid()
	case toInspect:
		return r.Inspects()
	case toUse:
		return r.Approves()
	case toManage:
		return r.Manages()
	}
	return false
}

// may says whether the way of coming allows looking or changing; the zero Caller
// may nothing.
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
		return control.Errorf(mesh.Denied, control.ReasonRole, "people: the API token is good for reading only")
	}
	return control.Errorf(mesh.Denied, control.ReasonSession, "people: nobody is signed in")
}

// acting is ctx with the caller as the actor of what is changed.
func (c Caller) acting(ctx context.Context) context.Context {
	a := store.Actor{UserID: c.UserID, Name: c.Email, Via: string(c.Via), From: c.From}
	if c.Via == ViaToken {
		a.Token = c.Session
	}
	return store.WithActor(ctx, a)
}

// enter finds one of the caller's organizations and checks that the caller may do
// what is needed there. The context it returns names the caller as actor.
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

// notFound has the same words for what is not there and what is another's.
func notFound(what string) error {
	return mesh.Errorf(mesh.NotFound, "people: %s not found, or you are not allowed to see it", what)
}

// noOrganization has the same words for an organization that does not exist and one
// that the caller is no member of.
func noOrganization(name string) error {
	if name == "" {
		return mesh.Errorf(mesh.NotFound, "people: you are not a member of any organization")
	}
	return mesh.Errorf(mesh.NotFound, "people: organization %q not found, or you are not a member", name)
}

// hide puts the same words in place of whatever the store says about a thing that
// was not found.
func hide(err error, what string) error {
	if mesh.KindOf(err) == mesh.NotFound {
		return notFound(what)
	}
	return err
}

// later is an error of somebody who has to wait.
func later(wait time.Duration, format string, args ...any) error {
	e := control.Errorf(mesh.Exhausted, "", "people: "+format, args...)
	e.RetryAfter = max(wait.Round(time.Second), time.Second)
	return e
}
