package control

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"

	"nexd/mesh"
)

// apiTokenPrefix starts every API token.
const apiTokenPrefix = "nxt_"

// Admin calls the administrators' API of one service with the API token of a person.
// It never retries. Its errors are like those of Client; the reasons ReasonToken and
// ReasonRole say what is wrong with the token.
type Admin struct {
	c     *Client
	token string
}

// NewAdmin makes an Admin, which sends nothing yet. It ignores the node's key in cfg. Its
// error never shows the token.
func NewAdmin(cfg Config, token string) (*Admin, error) {
	if len(token) < len(apiTokenPrefix)+minRegKey || len(token) > 512 || token[:len(apiTokenPrefix)] != apiTokenPrefix || !graphic(token) {
		return nil, mesh.Errorf(mesh.Invalid, "control: the API token must look like %s… (it has %d characters)", apiTokenPrefix, len(token))
	}
	c, err := newClient(cfg)
	if err != nil {
		return nil, err
	}
	return &Admin{c: c, token: token}, nil
}

// Close closes idle connections.
func (a *Admin) Close() { a.c.Close() }

// ask makes one call. It escapes the elements of path, so that no name leads to another
// operation.
func ask[T any](ctx context.Context, a *Admin, method string, query url.Values, in any, base string, path ...string) (out T, err error) {
	ctx, cancel := context.WithTimeout(ctx, a.c.cfg.CallTimeout)
	defer cancel()
	body, err := encode(in)
	if err != nil {
		return out, err
	}
	for _, p := range path {
		if p == "" || p == "." || p == ".." {
			return out, mesh.Errorf(mesh.Invalid, "control: %q is not a valid name or ID", p)
		}
		base += "/" + url.PathEscape(p)
	}
	r := request{method: method, path: base, body: body, token: a.token}
	if len(query) > 0 {
		r.query = "?" + query.Encode()
	}
	_, err = a.c.send(ctx, r, &out)
	return out, err
}

// Me is the owner of the token.
func (a *Admin) Me(ctx context.Context) (Person, error) {
	return ask[Person](ctx, a, http.MethodGet, nil, nil, PathMe)
}

// SetDefaultOrganization chooses the organization that nodes join by default when this
// person approves them.
func (a *Admin) SetDefaultOrganization(ctx context.Context, org string) (Person, error) {
	return ask[Person](ctx, a, http.MethodPut, nil, DefaultOrganization{Organization: org}, PathMyDefault)
}

// Organizations lists the organizations of the person.
func (a *Admin) Organizations(ctx context.Context) (OrganizationList, error) {
	return ask[OrganizationList](ctx, a, http.MethodGet, nil, nil, PathOrgs)
}

// CreateOrganization creates an organization that the person owns.
func (a *Admin) CreateOrganization(ctx context.Context, name string) (Organization, error) {
	return ask[Organization](ctx, a, http.MethodPost, nil, NewOrganization{Name: name}, PathOrgs)
}

// Organization finds an organization of the person by name or ID.
func (a *Admin) Organization(ctx context.Context, org string) (Organization, error) {
	return ask[Organization](ctx, a, http.MethodGet, nil, nil, PathOrgs, org)
}

// Nodes lists the nodes of an organization.
func (a *Admin) Nodes(ctx context.Context, org string) (NodeList, error) {
	return ask[NodeList](ctx, a, http.MethodGet, nil, nil, PathOrgs, org, "nodes")
}

// Node finds a node by name or ID.
func (a *Admin) Node(ctx context.Context, org, node string) (NodeInfo, error) {
	return ask[NodeInfo](ctx, a, http.MethodGet, nil, nil, PathOrgs, org, "nodes", node)
}

// RemoveNode removes a node. The result is the node as it was.
func (a *Admin) RemoveNode(ctx context.Context, org, node string) (NodeInfo, error) {
	return ask[NodeInfo](ctx, a, http.MethodDelete, nil, nil, PathOrgs, org, "nodes", node)
}

// Prefixes lists the prefixes that nodes of an organization hold.
func (a *Admin) Prefixes(ctx context.Context, org string) (HoldingList, error) {
	return ask[HoldingList](ctx, a, http.MethodGet, nil, nil, PathOrgs, org, "prefixes")
}

// ReleasePrefix ends a node's hold on a prefix. The result is the hold as it was.
func (a *Admin) ReleasePrefix(ctx context.Context, org string, p netip.Prefix) (mesh.Holding, error) {
	return ask[mesh.Holding](ctx, a, http.MethodDelete, url.Values{"prefix": {p.String()}}, nil, PathOrgs, org, "prefixes")
}

// Keys lists the registration keys of an organization.
func (a *Admin) Keys(ctx context.Context, org string) (KeyList, error) {
	return ask[KeyList](ctx, a, http.MethodGet, nil, nil, PathOrgs, org, "keys")
}

// CreateKey creates a registration key. Only this answer has its text.
func (a *Admin) CreateKey(ctx context.Context, org string, k NewKey) (Key, error) {
	return ask[Key](ctx, a, http.MethodPost, nil, k, PathOrgs, org, "keys")
}

// RevokeKey revokes a key by its ID or its first characters.
func (a *Admin) RevokeKey(ctx context.Context, org, key string) (Key, error) {
	return ask[Key](ctx, a, http.MethodDelete, nil, nil, PathOrgs, org, "keys", key)
}

// Members lists the people of an organization.
func (a *Admin) Members(ctx context.Context, org string) (MemberList, error) {
	return ask[MemberList](ctx, a, http.MethodGet, nil, nil, PathOrgs, org, "members")
}

// SetRole changes the role of a member, named by ID or e-mail address.
func (a *Admin) SetRole(ctx context.Context, org, user string, role mesh.Role) (Member, error) {
	return ask[Member](ctx, a, http.MethodPut, nil, NewRole{Role: role}, PathOrgs, org, "members", user)
}

// RemoveMember takes a person out of an organization.
func (a *Admin) RemoveMember(ctx context.Context, org, user string) (Member, error) {
	return ask[Member](ctx, a, http.MethodDelete, nil, nil, PathOrgs, org, "members", user)
}

// Invitations lists the invitations of an organization.
func (a *Admin) Invitations(ctx context.Context, org string) (InvitationList, error) {
	return ask[InvitationList](ctx, a, http.MethodGet, nil, nil, PathOrgs, org, "invitations")
}

// Invite creates an invitation. Only this answer has its link, as an absolute URL.
func (a *Admin) Invite(ctx context.Context, org string, i NewInvitation) (Invitation, error) {
	out, err := ask[Invitation](ctx, a, http.MethodPost, nil, i, PathOrgs, org, "invitations")
	if err == nil {
		out.Link, err = a.c.link(out.Link)
	}
	return out, err
}

// RevokeInvitation ends an invitation that nobody has used.
func (a *Admin) RevokeInvitation(ctx context.Context, org, id string) (Invitation, error) {
	return ask[Invitation](ctx, a, http.MethodDelete, nil, nil, PathOrgs, org, "invitations", id)
}

// AcceptInvitation accepts an invitation; token is the last part of its link.
func (a *Admin) AcceptInvitation(ctx context.Context, token string) (Organization, error) {
	return ask[Organization](ctx, a, http.MethodPost, nil, AcceptInvitation{Token: token}, PathAcceptInvitation)
}

// Audit is a page of an organization's audit, newest entry first. before is Next of the
// previous page, or empty.
func (a *Admin) Audit(ctx context.Context, org, before string, limit int) (AuditList, error) {
	return ask[AuditList](ctx, a, http.MethodGet, auditQuery(before, limit), nil, PathOrgs, org, "audit")
}

// OwnAudit is a page, as of Audit, about the account and API tokens of the person.
func (a *Admin) OwnAudit(ctx context.Context, before string, limit int) (AuditList, error) {
	return ask[AuditList](ctx, a, http.MethodGet, auditQuery(before, limit), nil, PathMyAudit)
}

func auditQuery(before string, limit int) url.Values {
	q := url.Values{"limit": {strconv.Itoa(limit)}}
	if before != "" {
		q.Set("before", before)
	}
	return q
}

// Tokens lists the API tokens of the person.
func (a *Admin) Tokens(ctx context.Context) (TokenList, error) {
	return ask[TokenList](ctx, a, http.MethodGet, nil, nil, PathTokens)
}

// CreateToken creates an API token. Only this answer has its text.
func (a *Admin) CreateToken(ctx context.Context, t NewToken) (Token, error) {
	return ask[Token](ctx, a, http.MethodPost, nil, t, PathTokens)
}

// RevokeToken ends an API token by its ID.
func (a *Admin) RevokeToken(ctx context.Context, id string) (Token, error) {
	return ask[Token](ctx, a, http.MethodDelete, nil, nil, PathTokens, id)
}

// Pending shows the node that waits with a user code.
func (a *Admin) Pending(ctx context.Context, code string) (PendingNode, error) {
	return ask[PendingNode](ctx, a, http.MethodGet, nil, nil, PathApprovals, code)
}

// Approve lets the node that waits with a user code join an organization; "" is the
// person's default organization.
func (a *Admin) Approve(ctx context.Context, code, org string) (PendingNode, error) {
	return ask[PendingNode](ctx, a, http.MethodPost, nil, Approve{Organization: org}, PathApprovals, code, "approve")
}

// Deny refuses the node that waits with a user code.
func (a *Admin) Deny(ctx context.Context, code string) (PendingNode, error) {
	return ask[PendingNode](ctx, a, http.MethodPost, nil, nil, PathApprovals, code, "deny")
}
