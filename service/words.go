package service

import (
	"net/netip"

	"nexd/control"
	"nexd/service/people"
	"nexd/service/store"
)

// How things of the store are written on the wire. No secret has a place in them;
// the operations that make one add its text.

// list converts a slice; the result is never null.
func list[A, B any](in []A, convert func(A) B) []B {
	out := make([]B, len(in))
	for i, v := range in {
		out[i] = convert(v)
	}
	return out
}

func orgOut(o people.Org) control.Organization {
	return control.Organization{ID: o.ID, Name: o.Name, Role: string(o.Role), Default: o.Default, Pools: o.Pools(), Created: o.Created}
}

func memberOut(m store.Member) control.Member {
	return control.Member{ID: m.UserID, Email: m.Email, Name: m.Name, Role: string(m.Role), Since: m.Since}
}

func (s *Service) keyOut(k store.RegistrationKey) control.Key {
	return control.Key{ID: k.ID, Prefix: k.Prefix, Description: k.Description, State: k.State(s.now()), Reusable: k.Reusable,
		UsesLeft: k.UsesLeft, Used: k.Used, Expires: k.Expires, Created: k.Created, LastUsed: k.LastUsed}
}

func (s *Service) invitationOut(i store.Invitation) control.Invitation {
	return control.Invitation{ID: i.ID, Role: string(i.Role), Email: i.Email, State: i.State(s.now()), Inviter: i.Inviter, Created: i.Created, Expires: i.Expires}
}

func (s *Service) tokenOut(t store.APIToken) control.Token {
	scopes := list(people.ScopesOf(t), func(s people.Scope) string { return string(s) })
	return control.Token{ID: t.ID, Prefix: t.Prefix, Description: t.Description, Scopes: scopes, State: t.State(s.now()), Created: t.Created, Expires: t.Expires, LastUsed: t.LastUsed}
}

func auditOut(e store.AuditEntry) control.AuditEntry {
	out := control.AuditEntry{ID: e.ID, Time: e.Time, Actor: e.Actor.Name, Via: e.Actor.Via, Action: e.Action, Target: e.Target,
		Before: e.Before, After: e.After, Token: e.Actor.Token}
	if e.Actor.From != (netip.Addr{}) {
		out.From = e.Actor.From.String()
	}
	return out
}
