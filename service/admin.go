package service

import (
	"context"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"nexd/control"
	"nexd/mesh"
	"nexd/service/people"
	"nexd/service/store"
)

// The shapes of the administrators' calls. What a body may set is what its type in
// package control has; ids and roles of the caller come from the token alone.
type (
	orgCall struct {
		Authorization string `header:"Authorization" hidden:"true"`
		Org           string `path:"org" doc:"ID or name of the organization"`
	}
	orgPost[T any] struct {
		Authorization string `header:"Authorization" hidden:"true"`
		Org           string `path:"org" doc:"ID or name of the organization"`
		Body          T
	}
	itemCall struct {
		Authorization string `header:"Authorization" hidden:"true"`
		Org           string `path:"org" doc:"ID or name of the organization"`
		ID            string `path:"id"`
	}
	itemPut[T any] struct {
		Authorization string `header:"Authorization" hidden:"true"`
		Org           string `path:"org" doc:"ID or name of the organization"`
		ID            string `path:"id"`
		Body          T
	}
	ownCall struct {
		Authorization string `header:"Authorization" hidden:"true"`
		ID            string `path:"id"`
	}
	ownPost[T any] struct {
		Authorization string `header:"Authorization" hidden:"true"`
		ID            string `path:"id"`
		Body          T
	}
	prefixCall struct {
		Authorization string `header:"Authorization" hidden:"true"`
		Org           string `path:"org" doc:"ID or name of the organization"`
		Prefix        string `query:"prefix" required:"true" doc:"the prefix, in CIDR form"`
	}
	ownAuditCall struct {
		Authorization string `header:"Authorization" hidden:"true"`
		Before        string `query:"before" doc:"ID of an entry: only older ones"`
		Limit         int    `query:"limit" doc:"entries of a page; 0 = 50, at most 500"`
	}
	auditCall struct {
		Authorization string `header:"Authorization" hidden:"true"`
		Org           string `path:"org" doc:"ID or name of the organization"`
		Before        string `query:"before" doc:"ID of an entry: only older ones"`
		Limit         int    `query:"limit" doc:"entries of a page; 0 = 50, at most 500"`
	}
)

func (c *bare) token() string             { return c.Authorization }
func (c *authed[T]) token() string        { return c.Authorization }
func (c *orgCall) token() string          { return c.Authorization }
func (c *orgPost[T]) token() string       { return c.Authorization }
func (c *itemCall) token() string         { return c.Authorization }
func (c *itemPut[T]) token() string       { return c.Authorization }
func (c *ownCall) token() string          { return c.Authorization }
func (c *ownPost[T]) token() string       { return c.Authorization }
func (c *prefixCall) token() string       { return c.Authorization }
func (c *ownAuditCall) token() string     { return c.Authorization }
func (c *auditCall) token() string        { return c.Authorization }
func answer[T any](v T) (*body[T], error) { return &body[T]{v}, nil }

// seconds is a duration of a body; more than a century is as good as one.
func seconds(n int64) time.Duration {
	const most = 100 * 366 * 24 * 3600
	return time.Duration(min(max(n, -1), most)) * time.Second
}

// tokened is a call that carries an API token.
type tokened[I any] interface {
	*I
	token() string
}

// adminOp adds an operation of the administrators' API: who calls is found before
// anything else is looked at.
func adminOp[I, O any, P tokened[I]](s *Service, api huma.API, method, path, summary string, do func(context.Context, people.Caller, P) (*O, error)) {
	operation := newOperation(method, path, summary, schemeToken)
	huma.Register(api, operation, func(ctx context.Context, in *I) (*O, error) {
		text, _ := strings.CutPrefix(P(in).token(), "Bearer ")
		c, err := s.people.Token(ctx, text, callerOf(ctx).addr)
		if err != nil {
			return nil, s.failed(ctx, err)
		}
		out, err := do(ctx, c, P(in))
		if err != nil {
			return nil, s.failed(ctx, err)
		}
		return out, nil
	})
}

// registerAdmin puts the administrators' API on a mux.
func (s *Service) registerAdmin(api huma.API) {
	const org = control.PathOrgs + "/{org}"
	adminOp(s, api, http.MethodGet, control.PathMe, "Say whose token this is", s.me)
	adminOp(s, api, http.MethodPut, control.PathMyDefault, "Choose the default organization", s.setDefault)
	adminOp(s, api, http.MethodGet, control.PathMyAudit, "List what happened to the caller's account and API tokens", s.listOwnAudit)
	adminOp(s, api, http.MethodGet, control.PathOrgs, "List the caller's organizations", s.listOrgs)
	adminOp(s, api, http.MethodPost, control.PathOrgs, "Create an organization", s.createOrg)
	adminOp(s, api, http.MethodGet, org, "Show an organization", s.showOrg)
	adminOp(s, api, http.MethodGet, org+"/nodes", "List nodes", s.listNodes)
	adminOp(s, api, http.MethodGet, org+"/nodes/{id}", "Show a node", s.showNode)
	adminOp(s, api, http.MethodDelete, org+"/nodes/{id}", "Remove a node", s.deleteNode)
	adminOp(s, api, http.MethodGet, org+"/prefixes", "List held prefixes", s.listPrefixes)
	adminOp(s, api, http.MethodDelete, org+"/prefixes", "Release a prefix", s.releasePrefix)
	adminOp(s, api, http.MethodGet, org+"/keys", "List registration keys", s.listKeys)
	adminOp(s, api, http.MethodPost, org+"/keys", "Create a registration key", s.createKey)
	adminOp(s, api, http.MethodDelete, org+"/keys/{id}", "Revoke a registration key", s.revokeKey)
	adminOp(s, api, http.MethodGet, org+"/members", "List members", s.listMembers)
	adminOp(s, api, http.MethodPut, org+"/members/{id}", "Give a member another role", s.setRole)
	adminOp(s, api, http.MethodDelete, org+"/members/{id}", "Remove a member", s.removeMember)
	adminOp(s, api, http.MethodGet, org+"/invitations", "List invitations", s.listInvitations)
	adminOp(s, api, http.MethodPost, org+"/invitations", "Make an invitation", s.invite)
	adminOp(s, api, http.MethodDelete, org+"/invitations/{id}", "Revoke an invitation", s.revokeInvitation)
	adminOp(s, api, http.MethodPost, control.PathAcceptInvitation, "Accept an invitation", s.acceptInvitation)
	adminOp(s, api, http.MethodGet, org+"/audit", "List what happened", s.listAudit)
	adminOp(s, api, http.MethodGet, control.PathTokens, "List the caller's API tokens", s.listTokens)
	adminOp(s, api, http.MethodPost, control.PathTokens, "Create an API token", s.createToken)
	adminOp(s, api, http.MethodDelete, control.PathTokens+"/{id}", "Revoke an API token", s.revokeToken)
	adminOp(s, api, http.MethodGet, control.PathApprovals+"/{id}", "Show who waits with a user code", s.showPending)
	adminOp(s, api, http.MethodPost, control.PathApprovals+"/{id}/approve", "Let a waiting node join", s.approve)
	adminOp(s, api, http.MethodPost, control.PathApprovals+"/{id}/deny", "Tell a waiting node that it may not join", s.deny)
}

func (s *Service) me(ctx context.Context, c people.Caller, _ *bare) (*body[control.Person], error) {
	orgs, err := s.people.Organizations(ctx, c)
	if err != nil {
		return nil, err
	}
	p := control.Person{ID: c.UserID, Email: c.Email, Name: c.Name, Scopes: []string{}, Organizations: list(orgs, orgOut)}
	for _, w := range c.Scopes {
		p.Scopes = append(p.Scopes, string(w))
	}
	return answer(p)
}

func (s *Service) setDefault(ctx context.Context, c people.Caller, in *authed[control.DefaultOrganization]) (*body[control.Person], error) {
	if in.Body.Organization == "" {
		return nil, mesh.Errorf(mesh.Invalid, "service: no organization is named")
	}
	if err := s.people.SetDefault(ctx, c, in.Body.Organization); err != nil {
		return nil, err
	}
	return s.me(ctx, c, nil)
}

func (s *Service) listOrgs(ctx context.Context, c people.Caller, _ *bare) (*body[control.OrganizationList], error) {
	orgs, err := s.people.Organizations(ctx, c)
	if err != nil {
		return nil, err
	}
	return answer(control.OrganizationList{Organizations: list(orgs, orgOut)})
}

func (s *Service) createOrg(ctx context.Context, c people.Caller, in *authed[control.NewOrganization]) (*body[control.Organization], error) {
	o, err := s.people.CreateOrganization(ctx, c, in.Body.Name)
	if err != nil {
		return nil, err
	}
	return answer(orgOut(o))
}

func (s *Service) showOrg(ctx context.Context, c people.Caller, in *orgCall) (*body[control.Organization], error) {
	o, err := s.people.Organization(ctx, c, in.Org)
	if err != nil {
		return nil, err
	}
	return answer(orgOut(o))
}

func (s *Service) listNodes(ctx context.Context, c people.Caller, in *orgCall) (*body[control.NodeList], error) {
	ds, err := s.people.Nodes(ctx, c, in.Org)
	if err != nil {
		return nil, err
	}
	return answer(control.NodeList{Nodes: ds})
}

func (s *Service) showNode(ctx context.Context, c people.Caller, in *itemCall) (*body[control.NodeInfo], error) {
	d, err := s.people.Node(ctx, c, in.Org, in.ID)
	if err != nil {
		return nil, err
	}
	return answer(d)
}

func (s *Service) deleteNode(ctx context.Context, c people.Caller, in *itemCall) (*body[control.NodeInfo], error) {
	d, err := s.people.RemoveNode(ctx, c, in.Org, in.ID)
	if err != nil {
		return nil, err
	}
	return answer(d)
}

func (s *Service) listPrefixes(ctx context.Context, c people.Caller, in *orgCall) (*body[control.HoldingList], error) {
	hs, err := s.people.Prefixes(ctx, c, in.Org)
	if err != nil {
		return nil, err
	}
	return answer(control.HoldingList{Prefixes: append([]mesh.Holding{}, hs...)})
}

func (s *Service) releasePrefix(ctx context.Context, c people.Caller, in *prefixCall) (*body[mesh.Holding], error) {
	p, _ := netip.ParsePrefix(in.Prefix) // what is none is refused after the role was looked at
	h, err := s.people.ReleasePrefix(ctx, c, in.Org, p)
	if err != nil {
		return nil, err
	}
	return answer(h)
}

func (s *Service) listKeys(ctx context.Context, c people.Caller, in *orgCall) (*body[control.KeyList], error) {
	ks, err := s.people.Keys(ctx, c, in.Org)
	if err != nil {
		return nil, err
	}
	return answer(control.KeyList{Keys: list(ks, s.keyOut)})
}

func (s *Service) createKey(ctx context.Context, c people.Caller, in *orgPost[control.NewKey]) (*body[control.Key], error) {
	b := in.Body
	k, text, err := s.people.CreateKey(ctx, c, in.Org, store.KeyParams{Description: b.Description, Uses: b.Uses, Lifetime: seconds(b.ExpiresIn)})
	if err != nil {
		return nil, err
	}
	out := s.keyOut(k)
	out.Text = text
	return answer(out)
}

func (s *Service) revokeKey(ctx context.Context, c people.Caller, in *itemCall) (*body[control.Key], error) {
	k, err := s.people.RevokeKey(ctx, c, in.Org, in.ID)
	if err != nil {
		return nil, err
	}
	return answer(s.keyOut(k))
}

func (s *Service) listMembers(ctx context.Context, c people.Caller, in *orgCall) (*body[control.MemberList], error) {
	ms, err := s.people.Members(ctx, c, in.Org)
	if err != nil {
		return nil, err
	}
	return answer(control.MemberList{Members: list(ms, memberOut)})
}

func (s *Service) setRole(ctx context.Context, c people.Caller, in *itemPut[control.NewRole]) (*body[control.Member], error) {
	m, err := s.people.SetRole(ctx, c, in.Org, in.ID, mesh.Role(in.Body.Role))
	if err != nil {
		return nil, err
	}
	return answer(memberOut(m))
}

func (s *Service) removeMember(ctx context.Context, c people.Caller, in *itemCall) (*body[control.Member], error) {
	m, err := s.people.RemoveMember(ctx, c, in.Org, in.ID)
	if err != nil {
		return nil, err
	}
	return answer(memberOut(m))
}

func (s *Service) listInvitations(ctx context.Context, c people.Caller, in *orgCall) (*body[control.InvitationList], error) {
	is, err := s.people.Invitations(ctx, c, in.Org)
	if err != nil {
		return nil, err
	}
	return answer(control.InvitationList{Invitations: list(is, s.invitationOut)})
}

func (s *Service) invite(ctx context.Context, c people.Caller, in *orgPost[control.NewInvitation]) (*body[control.Invitation], error) {
	b := in.Body
	i, link, err := s.people.Invite(ctx, c, in.Org, mesh.Role(b.Role), b.Email, seconds(b.ExpiresIn))
	if err != nil {
		return nil, err
	}
	out := s.invitationOut(i)
	out.Link = link
	return answer(out)
}

func (s *Service) revokeInvitation(ctx context.Context, c people.Caller, in *itemCall) (*body[control.Invitation], error) {
	i, err := s.people.RevokeInvitation(ctx, c, in.Org, in.ID)
	if err != nil {
		return nil, err
	}
	return answer(s.invitationOut(i))
}

func (s *Service) acceptInvitation(ctx context.Context, c people.Caller, in *authed[control.AcceptInvitation]) (*body[control.Organization], error) {
	o, err := s.people.AcceptInvitation(ctx, c, in.Body.Token)
	if err != nil {
		return nil, err
	}
	return answer(orgOut(o))
}

func (s *Service) listAudit(ctx context.Context, c people.Caller, in *auditCall) (*body[control.AuditList], error) {
	es, err := s.people.Audit(ctx, c, in.Org, in.Before, in.Limit)
	if err != nil {
		return nil, err
	}
	return answer(auditList(es, in.Limit))
}

func (s *Service) listOwnAudit(ctx context.Context, c people.Caller, in *ownAuditCall) (*body[control.AuditList], error) {
	es, err := s.people.OwnAudit(ctx, c, in.Before, in.Limit)
	if err != nil {
		return nil, err
	}
	return answer(auditList(es, in.Limit))
}

// auditList is a page; a full one may be followed by another.
func auditList(es []store.AuditEntry, want int) control.AuditList {
	out := control.AuditList{Entries: list(es, auditOut)}
	if want == 0 {
		want = people.AuditPage
	}
	if len(es) == want {
		out.Next = es[len(es)-1].ID
	}
	return out
}

func (s *Service) listTokens(ctx context.Context, c people.Caller, _ *bare) (*body[control.TokenList], error) {
	ts, err := s.people.Tokens(ctx, c)
	if err != nil {
		return nil, err
	}
	return answer(control.TokenList{Tokens: list(ts, s.tokenOut)})
}

func (s *Service) createToken(ctx context.Context, c people.Caller, in *authed[control.NewToken]) (*body[control.Token], error) {
	b := in.Body
	var scopes []people.Scope
	for _, w := range b.Scopes {
		scopes = append(scopes, people.Scope(w))
	}
	t, text, err := s.people.CreateToken(ctx, c, b.Description, scopes, seconds(b.ExpiresIn))
	if err != nil {
		return nil, err
	}
	out := s.tokenOut(t)
	out.Text = text
	return answer(out)
}

func (s *Service) revokeToken(ctx context.Context, c people.Caller, in *ownCall) (*body[control.Token], error) {
	t, err := s.people.RevokeToken(ctx, c, in.ID)
	if err != nil {
		return nil, err
	}
	return answer(s.tokenOut(t))
}

func (s *Service) showPending(ctx context.Context, c people.Caller, in *ownCall) (*body[control.PendingNode], error) {
	n, err := s.people.PendingNode(ctx, c, in.ID)
	if err != nil {
		return nil, err
	}
	return answer(n)
}

func (s *Service) approve(ctx context.Context, c people.Caller, in *ownPost[control.Approve]) (*body[control.PendingNode], error) {
	n, _, err := s.people.ApproveNode(ctx, c, in.ID, in.Body.Organization)
	if err != nil {
		return nil, err
	}
	return answer(n)
}

func (s *Service) deny(ctx context.Context, c people.Caller, in *ownCall) (*body[control.PendingNode], error) {
	n, err := s.people.DenyNode(ctx, c, in.ID)
	if err != nil {
		return nil, err
	}
	return answer(n)
}
