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

// Admin speaks to one service as a person, with an API token of theirs. It never
// retries. Its errors are as Client's; ReasonToken and ReasonRole tell what is
// wrong with the token.
type Admin struct {
	c     *Client
	token string
}

// NewAdmin makes an Admin. Of cfg the node's key is not used. It sends nothing
// yet; the error never shows the token.
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

// Close gives back idle connections.
func (a *Admin) Close() { a.c.Close() }

// ask makes one call: elements of path are escaped, so that no name leads to
// another operation.
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

// Me is the person whose token this is.
func (a *Admin) Me(ctx context.Context) (Person, error) {
	return ask[Person](ctx, a, http.MethodGet, nil, nil, PathMe)
}

// SetDefaultOrganization says where nodes that this person approves go.
func (a *Admin) SetDefaultOrganization(ctx context.Context, org string) (Person, error) {
	return ask[Person](ctx, a, http.MethodPut, nil, DefaultOrganization{Organization: org}, PathMyDefault)
}

// Organizations are those the person is in.
func (a *Admin) Organizations(ctx context.Context) (OrganizationList, error) {
	return ask[OrganizationList](ctx, a, http.MethodGet, nil, nil, PathOrgs)
}

// CreateOrganization makes one, of which the person is the owner.
func (a *Admin) CreateOrganization(ctx context.Context, name string) (Organization, error) {
	return ask[Organization](ctx, a, http.MethodPost, nil, NewOrganization{Name: name}, PathOrgs)
}

// Organization is one of the person's, by name or ID.
func (a *Admin) Organization(ctx context.Context, org string) (Organization, error) {
	return ask[Organization](ctx, a, http.MethodGet, nil, nil, PathOrgs, org)
}

// Nodes are the nodes of an organization.
func (a *Admin) Nodes(ctx context.Context, org string) (NodeList, error) {
	return ask[NodeList](ctx, a, http.MethodGet, nil, nil, PathOrgs, org, "nodes")
}

// Node is a node by name or ID.
func (a *Admin) Node(ctx context.Context, org, node string) (NodeInfo, error) {
	return ask[NodeInfo](ctx, a, http.MethodGet, nil, nil, PathOrgs, org, "nodes", node)
}

// RemoveNode removes a node and says what it was.
func (a *Admin) RemoveNode(ctx context.Context, org, node string) (NodeInfo, error) {
	return ask[NodeInfo](ctx, a, http.MethodDelete, nil, nil, PathOrgs, org, "nodes", node)
}

// Prefixes are those that nodes of an organization hold.
func (a *Admin) Prefixes(ctx context.Context, org string) (HoldingList, error) {
	return ask[HoldingList](ctx, a, http.MethodGet, nil, nil, PathOrgs, org, "prefixes")
}

// ReleasePrefix ends a node's hold on a prefix and says what it was.
func (a *Admin) ReleasePrefix(ctx context.Context, org string, p netip.Prefix) (mesh.Holding, error) {
	return ask[mesh.Holding](ctx, a, http.MethodDelete, url.Values{"prefix": {p.String()}}, nil, PathOrgs, org, "prefixes")
}

// Keys are the registration keys of an organization.
func (a *Admin) Keys(ctx context.Context, org string) (KeyList, error) {
	return ask[KeyList](ctx, a, http.MethodGet, nil, nil, PathOrgs, org, "keys")
}

// CreateKey makes a registration key; its text is in this answer alone.
func (a *Admin) CreateKey(ctx context.Context, org string, k NewKey) (Key, error) {
	return ask[Key](ctx, a, http.MethodPost, nil, k, PathOrgs, org, "keys")
}

// RevokeKey revokes a key by its ID or its first characters.
func (a *Admin) RevokeKey(ctx context.Context, org, key string) (Key, error) {
	return ask[Key](ctx, a, http.MethodDelete, nil, nil, PathOrgs, org, "keys", key)
}

// Members are the people of an organization.
func (a *Admin) Members(ctx context.Context, org string) (MemberList, error) {
	return ask[MemberList](ctx, a, http.MethodGet, nil, nil, PathOrgs, org, "members")
}

// SetRole gives a member, by ID or e-mail address, another role.
func (a *Admin) SetRole(ctx context.Context, org, user string, role mesh.Role) (Member, error) {
	return ask[Member](ctx, a, http.MethodPut, nil, NewRole{Role: role}, PathOrgs, org, "members", user)
}

// RemoveMember takes a person out of an organization.
func (a *Admin) RemoveMember(ctx context.Context, org, user string) (Member, error) {
	return ask[Member](ctx, a, http.MethodDelete, nil, nil, PathOrgs, org, "members", user)
}

// Invitations are those of an organization.
func (a *Admin) Invitations(ctx context.Context, org string) (InvitationList, error) {
	return ask[InvitationList](ctx, a, http.MethodGet, nil, nil, PathOrgs, org, "invitations")
}

// Invite makes an invitation; its link is in this answer alone, and absolute.
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

// AcceptInvitation uses an invitation; token is what its link ends with.
func (a *Admin) AcceptInvitation(ctx context.Context, token string) (Organization, error) {
	return ask[Organization](ctx, a, http.MethodPost, nil, AcceptInvitation{Token: token}, PathAcceptInvitation)
}

// Audit is a page of an organization's audit, newest first; before is the Next of
// the page before, or empty.
func (a *Admin) Audit(ctx context.Context, org, before string, limit int) (AuditList, error) {
	return ask[AuditList](ctx, a, http.MethodGet, auditQuery(before, limit), nil, PathOrgs, org, "audit")
}

// OwnAudit is a page, as of Audit, about the person's account and API tokens.
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

// Tokens are the person's API tokens.
func (a *Admin) Tokens(ctx context.Context) (TokenList, error) {
	return ask[TokenList](ctx, a, http.MethodGet, nil, nil, PathTokens)
}

// CreateToken makes an API token; its text is in this answer alone.
func (a *Admin) CreateToken(ctx context.Context, t NewToken) (Token, error) {
	return ask[Token](ctx, a, http.MethodPost, nil, t, PathTokens)
}

// RevokeToken ends an API token by its ID.
func (a *Admin) RevokeToken(ctx context.Context, id string) (Token, error) {
	return ask[Token](ctx, a, http.MethodDelete, nil, nil, PathTokens, id)
}

// Pending is the node that waits with a user code.
func (a *Admin) Pending(ctx context.Context, code string) (PendingNode, error) {
	return ask[PendingNode](ctx, a, http.MethodGet, nil, nil, PathApprovals, code)
}

// Approve lets the node that waits with a user code join an organization; "" is
// the person's default one.
func (a *Admin) Approve(ctx context.Context, code, org string) (PendingNode, error) {
	return ask[PendingNode](ctx, a, http.MethodPost, nil, Approve{Organization: org}, PathApprovals, code, "approve")
}

// Deny tells the node that waits with a user code that it may not join.
func (a *Admin) Deny(ctx context.Context, code string) (PendingNode, error) {
	return ask[PendingNode](ctx, a, http.MethodPost, nil, nil, PathApprovals, code, "deny")
}
