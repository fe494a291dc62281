package service

import (
	"context"
	"net/http"
	"net/netip"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"nexd/control"
	"nexd/mesh"
	"nexd/service/people"
)

// The inputs of the administrators' calls. A body may set what its type in package
// control has; the caller's ID and roles come from the token alone.
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

func (c *bare) token() string         { return c.Authorization }
func (c *authed[T]) token() string    { return c.Authorization }
func (c *orgCall) token() string      { return c.Authorization }
func (c *orgPost[T]) token() string   { return c.Authorization }
func (c *itemCall) token() string     { return c.Authorization }
func (c *itemPut[T]) token() string   { return c.Authorization }
func (c *ownCall) token() string      { return c.Authorization }
func (c *ownPost[T]) token() string   { return c.Authorization }
func (c *prefixCall) token() string   { return c.Authorization }
func (c *ownAuditCall) token() string { return c.Authorization }
func (c *auditCall) token() string    { return c.Authorization }

// tokened is the input of a call with an API token.
type tokened[I any] interface {
	*I
	token() string
}

// adminOp adds an operation of the administrators' API: the caller is found before
// anything else is looked at.
func adminOp[I, T any, P tokened[I]](s *Service, api huma.API, method, path, summary string, do func(context.Context, people.Caller, P) (T, error)) {
	operation := newOperation(method, path, summary, schemeToken)
	huma.Register(api, operation, func(ctx context.Context, in *I) (*body[T], error) {
		text, _ := strings.CutPrefix(P(in).token(), "Bearer ")
		c, err := s.people.Token(ctx, text, callerOf(ctx).addr)
		if err != nil {
			return nil, s.failed(ctx, err)
		}
		out, err := do(ctx, c, P(in))
		if err != nil {
			return nil, s.failed(ctx, err)
		}
		return &body[T]{out}, nil
	})
}

// registerAdmin adds the administrators' API.
func (s *Service) registerAdmin(api huma.API) {
	const org = control.PathOrgs + "/{org}"
	adminOp(s, api, http.MethodGet, control.PathMe, "Show the owner of the token", s.me)
	adminOp(s, api, http.MethodPut, control.PathMyDefault, "Choose the default organization", s.setDefault)
	adminOp(s, api, http.MethodGet, control.PathMyAudit, "List the audit of the caller's account and API tokens", s.listOwnAudit)
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
	adminOp(s, api, http.MethodPost, org+"/invitations", "Create an invitation", s.invite)
	adminOp(s, api, http.MethodDelete, org+"/invitations/{id}", "Revoke an invitation", s.revokeInvitation)
	adminOp(s, api, http.MethodPost, control.PathAcceptInvitation, "Accept an invitation", s.acceptInvitation)
	adminOp(s, api, http.MethodGet, org+"/audit", "List the audit", s.listAudit)
	adminOp(s, api, http.MethodGet, control.PathTokens, "List the caller's API tokens", s.listTokens)
	adminOp(s, api, http.MethodPost, control.PathTokens, "Create an API token", s.createToken)
	adminOp(s, api, http.MethodDelete, control.PathTokens+"/{id}", "Revoke an API token", s.revokeToken)
	adminOp(s, api, http.MethodGet, control.PathApprovals+"/{id}", "Show the node that waits with a user code", s.showPending)
	adminOp(s, api, http.MethodPost, control.PathApprovals+"/{id}/approve", "Approve a waiting node", s.approve)
	adminOp(s, api, http.MethodPost, control.PathApprovals+"/{id}/deny", "Deny a waiting node", s.deny)
}

func (s *Service) me(ctx context.Context, c people.Caller, _ *bare) (control.Person, error) {
	orgs, err := s.people.Organizations(ctx, c)
	return control.Person{ID: c.UserID, Email: c.Email, Name: c.Name, Scopes: c.Scopes, Organizations: orgs}, err
}

func (s *Service) setDefault(ctx context.Context, c people.Caller, in *authed[control.DefaultOrganization]) (control.Person, error) {
	if in.Body.Organization == "" {
		return control.Person{}, mesh.Errorf(mesh.Invalid, "service: no organization is named")
	}
	if err := s.people.SetDefault(ctx, c, in.Body.Organization); err != nil {
		return control.Person{}, err
	}
	return s.me(ctx, c, nil)
}

func (s *Service) listOrgs(ctx context.Context, c people.Caller, _ *bare) (control.OrganizationList, error) {
	orgs, err := s.people.Organizations(ctx, c)
	return control.OrganizationList{Organizations: orgs}, err
}

func (s *Service) createOrg(ctx context.Context, c people.Caller, in *authed[control.NewOrganization]) (control.Organization, error) {
	return s.people.CreateOrganization(ctx, c, in.Body.Name)
}

func (s *Service) showOrg(ctx context.Context, c people.Caller, in *orgCall) (control.Organization, error) {
	return s.people.Organization(ctx, c, in.Org)
}

func (s *Service) listNodes(ctx context.Context, c people.Caller, in *orgCall) (control.NodeList, error) {
	nodes, err := s.people.Nodes(ctx, c, in.Org)
	return control.NodeList{Nodes: nodes}, err
}

func (s *Service) showNode(ctx context.Context, c people.Caller, in *itemCall) (control.NodeInfo, error) {
	return s.people.Node(ctx, c, in.Org, in.ID)
}

func (s *Service) deleteNode(ctx context.Context, c people.Caller, in *itemCall) (control.NodeInfo, error) {
	return s.people.RemoveNode(ctx, c, in.Org, in.ID)
}

func (s *Service) listPrefixes(ctx context.Context, c people.Caller, in *orgCall) (control.HoldingList, error) {
	hs, err := s.people.Prefixes(ctx, c, in.Org)
	return control.HoldingList{Prefixes: hs}, err
}

func (s *Service) releasePrefix(ctx context.Context, c people.Caller, in *prefixCall) (mesh.Holding, error) {
	p, _ := netip.ParsePrefix(in.Prefix) // people refuses an invalid one, after it has looked at the role
	return s.people.ReleasePrefix(ctx, c, in.Org, p)
}

func (s *Service) listKeys(ctx context.Context, c people.Caller, in *orgCall) (control.KeyList, error) {
	ks, err := s.people.Keys(ctx, c, in.Org)
	return control.KeyList{Keys: ks}, err
}

func (s *Service) createKey(ctx context.Context, c people.Caller, in *orgPost[control.NewKey]) (control.Key, error) {
	return s.people.CreateKey(ctx, c, in.Org, in.Body)
}

func (s *Service) revokeKey(ctx context.Context, c people.Caller, in *itemCall) (control.Key, error) {
	return s.people.RevokeKey(ctx, c, in.Org, in.ID)
}

func (s *Service) listMembers(ctx context.Context, c people.Caller, in *orgCall) (control.MemberList, error) {
	ms, err := s.people.Members(ctx, c, in.Org)
	return control.MemberList{Members: ms}, err
}

func (s *Service) setRole(ctx context.Context, c people.Caller, in *itemPut[control.NewRole]) (control.Member, error) {
	return s.people.SetRole(ctx, c, in.Org, in.ID, in.Body.Role)
}

func (s *Service) removeMember(ctx context.Context, c people.Caller, in *itemCall) (control.Member, error) {
	return s.people.RemoveMember(ctx, c, in.Org, in.ID)
}

func (s *Service) listInvitations(ctx context.Context, c people.Caller, in *orgCall) (control.InvitationList, error) {
	is, err := s.people.Invitations(ctx, c, in.Org)
	return control.InvitationList{Invitations: is}, err
}

func (s *Service) invite(ctx context.Context, c people.Caller, in *orgPost[control.NewInvitation]) (control.Invitation, error) {
	return s.people.Invite(ctx, c, in.Org, in.Body)
}

func (s *Service) revokeInvitation(ctx context.Context, c people.Caller, in *itemCall) (control.Invitation, error) {
	return s.people.RevokeInvitation(ctx, c, in.Org, in.ID)
}

func (s *Service) acceptInvitation(ctx context.Context, c people.Caller, in *authed[control.AcceptInvitation]) (control.Organization, error) {
	return s.people.AcceptInvitation(ctx, c, in.Body.Token)
}

func (s *Service) listAudit(ctx context.Context, c people.Caller, in *auditCall) (control.AuditList, error) {
	return s.people.Audit(ctx, c, in.Org, in.Before, in.Limit)
}

func (s *Service) listOwnAudit(ctx context.Context, c people.Caller, in *ownAuditCall) (control.AuditList, error) {
	return s.people.OwnAudit(ctx, c, in.Before, in.Limit)
}

func (s *Service) listTokens(ctx context.Context, c people.Caller, _ *bare) (control.TokenList, error) {
	ts, err := s.people.Tokens(ctx, c)
	return control.TokenList{Tokens: ts}, err
}

func (s *Service) createToken(ctx context.Context, c people.Caller, in *authed[control.NewToken]) (control.Token, error) {
	return s.people.CreateToken(ctx, c, in.Body)
}

func (s *Service) revokeToken(ctx context.Context, c people.Caller, in *ownCall) (control.Token, error) {
	return s.people.RevokeToken(ctx, c, in.ID)
}

func (s *Service) showPending(ctx context.Context, c people.Caller, in *ownCall) (control.PendingNode, error) {
	return s.people.PendingNode(ctx, c, in.ID)
}

func (s *Service) approve(ctx context.Context, c people.Caller, in *ownPost[control.Approve]) (control.PendingNode, error) {
	n, _, err := s.people.ApproveNode(ctx, c, in.ID, in.Body.Organization)
	return n, err
}

func (s *Service) deny(ctx context.Context, c people.Caller, in *ownCall) (control.PendingNode, error) {
	return s.people.DenyNode(ctx, c, in.ID)
}
