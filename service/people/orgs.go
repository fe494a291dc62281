package people

import (
	"context"
	"net/netip"
	"time"

	"nexd/control"
	"nexd/mesh"
	"nexd/service/store"
)

// Org is an organization with the caller's place in it.
type Org struct {
	store.Organization
	Role    store.Role
	Default bool
}

// Organizations lists the caller's organizations, the default one first, then by
// name.
func (p *People) Organizations(ctx context.Context, c Caller) ([]Org, error) { return nil, errUnbuilt }

// Organization finds one of the caller's organizations by ID or name; "" is the
// default one.
func (p *People) Organization(ctx context.Context, c Caller, org string) (Org, error) {
	return Org{}, errUnbuilt
}

// CreateOrganization makes one that the caller owns. The name is a DNS label, and
// unique in the whole service.
func (p *People) CreateOrganization(ctx context.Context, c Caller, name string) (Org, error) {
	return Org{}, errUnbuilt
}

// SetDefault says where the nodes that the caller approves go by default.
func (p *People) SetDefault(ctx context.Context, c Caller, org string) error { return errUnbuilt }

// Members lists the people of an organization, by address.
func (p *People) Members(ctx context.Context, c Caller, org string) ([]store.Member, error) {
	return nil, errUnbuilt
}

// SetRole changes the role of a member, named by ID or e-mail address. Only an
// owner makes or changes owners; the last owner stays one.
func (p *People) SetRole(ctx context.Context, c Caller, org, user string, role store.Role) (store.Member, error) {
	return store.Member{}, errUnbuilt
}

// RemoveMember ends a membership; everybody may end their own, except the last
// owner.
func (p *People) RemoveMember(ctx context.Context, c Caller, org, user string) (store.Member, error) {
	return store.Member{}, errUnbuilt
}

// Invite makes a link by which one person may join. life 0 is 7 days, at most 30.
// Nobody invites to a higher role than their own. The link is not to be had again.
func (p *People) Invite(ctx context.Context, c Caller, org string, role store.Role, email string, life time.Duration) (inv store.Invitation, link string, err error) {
	return inv, "", errUnbuilt
}

// Invitations lists the invitations of an organization, newest first.
func (p *People) Invitations(ctx context.Context, c Caller, org string) ([]store.Invitation, error) {
	return nil, errUnbuilt
}

// RevokeInvitation ends an invitation.
func (p *People) RevokeInvitation(ctx context.Context, c Caller, org, id string) (store.Invitation, error) {
	return store.Invitation{}, errUnbuilt
}

// Invited says what an invitation is for, to whoever holds its link (/invite/TOKEN).
// One that is used, expired, revoked or unknown is mesh.NotFound.
func (p *People) Invited(ctx context.Context, token string, from netip.Addr) (store.Invitation, store.Organization, error) {
	return store.Invitation{}, store.Organization{}, errUnbuilt
}

// AcceptInvitation makes the caller a member. It is good once; who is a member
// already keeps the role and the invitation stays open.
func (p *People) AcceptInvitation(ctx context.Context, c Caller, token string) (Org, error) {
	return Org{}, errUnbuilt
}

// Nodes lists the nodes of an organization by name.
func (p *People) Nodes(ctx context.Context, c Caller, org string) ([]control.Device, error) {
	return nil, errUnbuilt
}

// Node finds a node by ID or name.
func (p *People) Node(ctx context.Context, c Caller, org, node string) (control.Device, error) {
	return control.Device{}, errUnbuilt
}

// RemoveNode removes a node for good, as it was.
func (p *People) RemoveNode(ctx context.Context, c Caller, org, node string) (control.Device, error) {
	return control.Device{}, errUnbuilt
}

// Prefixes lists what is held in an organization, in the order of addresses.
func (p *People) Prefixes(ctx context.Context, c Caller, org string) ([]mesh.Holding, error) {
	return nil, errUnbuilt
}

// ReleasePrefix ends the hold on a prefix and says what it was.
func (p *People) ReleasePrefix(ctx context.Context, c Caller, org string, prefix netip.Prefix) (mesh.Holding, error) {
	return mesh.Holding{}, errUnbuilt
}

// Keys lists the registration keys of an organization, newest first.
func (p *People) Keys(ctx context.Context, c Caller, org string) ([]store.RegistrationKey, error) {
	return nil, errUnbuilt
}

// CreateKey makes a registration key. text, with the service's pin behind it, is
// not to be had again.
func (p *People) CreateKey(ctx context.Context, c Caller, org string, params store.KeyParams) (k store.RegistrationKey, text string, err error) {
	return k, "", errUnbuilt
}

// RevokeKey ends a key, named by ID or its first characters.
func (p *People) RevokeKey(ctx context.Context, c Caller, org, key string) (store.RegistrationKey, error) {
	return store.RegistrationKey{}, errUnbuilt
}

// Audit is a page of what happened in an organization, newest first: at most limit
// entries (0 = 50, at most 500) older than the entry before ("" = from the newest).
func (p *People) Audit(ctx context.Context, c Caller, org, before string, limit int) ([]store.AuditEntry, error) {
	return nil, errUnbuilt
}

// Tokens lists the caller's API tokens, newest first.
func (p *People) Tokens(ctx context.Context, c Caller) ([]store.APIToken, error) {
	return nil, errUnbuilt
}

// CreateToken makes an API token of the caller: life 0 is 30 days, at most 366. A
// token makes none that may do more, or live longer, than itself. text is not to
// be had again.
func (p *People) CreateToken(ctx context.Context, c Caller, description string, scopes []Scope, life time.Duration) (t store.APIToken, text string, err error) {
	return t, "", errUnbuilt
}

// RevokeToken ends one of the caller's tokens.
func (p *People) RevokeToken(ctx context.Context, c Caller, id string) (store.APIToken, error) {
	return store.APIToken{}, errUnbuilt
}

// Token finds who an API token (nxt_…) belongs to; an unknown, expired or revoked
// one is mesh.Denied with control.ReasonToken.
func (p *People) Token(ctx context.Context, text string, from netip.Addr) (Caller, error) {
	return Caller{}, errUnbuilt
}
