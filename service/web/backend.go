package web

import (
	"context"
	"net/netip"
	"time"

	"nexd/control"
	"nexd/mesh"
	"nexd/service/people"
	"nexd/service/store"
)

// Backend is what the pages need of *people.People.
type Backend interface {
	signIn
	devices
	organizations
	resources
	tokens
}

type signIn interface {
	Login(ctx context.Context, email, password string, from netip.Addr) (people.Session, error)
	LoginOIDC(ctx context.Context, who people.External, invitation string, from netip.Addr) (people.Session, error)
	SignUp(ctx context.Context, invitation, email, name, password string, from netip.Addr) (people.Session, error)
	Session(ctx context.Context, cookie string, from netip.Addr) (people.Caller, error)
	Logout(ctx context.Context, cookie string) error
	LogoutEverywhere(ctx context.Context, c people.Caller) error
	SetPassword(ctx context.Context, c people.Caller, old, password string) (people.Session, error)
	FirstRun(ctx context.Context) (bool, error)
	CheckSetup(ctx context.Context, token string) error
	Setup(ctx context.Context, token, email, name, password string, from netip.Addr) (people.Session, error)
	Seal(ctx context.Context, purpose string, plain []byte) (string, error)
	Unseal(ctx context.Context, purpose, sealed string) ([]byte, error)
}

type devices interface {
	PendingNode(ctx context.Context, c people.Caller, userCode string) (control.PendingNode, error)
	ApproveNode(ctx context.Context, c people.Caller, userCode, org string) (control.PendingNode, people.Org, error)
	DenyNode(ctx context.Context, c people.Caller, userCode string) (control.PendingNode, error)
}

type organizations interface {
	Organizations(ctx context.Context, c people.Caller) ([]people.Org, error)
	Organization(ctx context.Context, c people.Caller, org string) (people.Org, error)
	CreateOrganization(ctx context.Context, c people.Caller, name string) (people.Org, error)
	SetDefault(ctx context.Context, c people.Caller, org string) error
	Members(ctx context.Context, c people.Caller, org string) ([]store.Member, error)
	SetRole(ctx context.Context, c people.Caller, org, user string, role mesh.Role) (store.Member, error)
	RemoveMember(ctx context.Context, c people.Caller, org, user string) (store.Member, error)
	Invite(ctx context.Context, c people.Caller, org string, role mesh.Role, email string, life time.Duration) (store.Invitation, string, error)
	Invitations(ctx context.Context, c people.Caller, org string) ([]store.Invitation, error)
	RevokeInvitation(ctx context.Context, c people.Caller, org, id string) (store.Invitation, error)
	Invited(ctx context.Context, token string, from netip.Addr) (store.Invitation, store.Organization, error)
	AcceptInvitation(ctx context.Context, c people.Caller, token string) (people.Org, error)
	OwnAudit(ctx context.Context, c people.Caller, before string, limit int) ([]store.AuditEntry, error)
	Audit(ctx context.Context, c people.Caller, org, before string, limit int) ([]store.AuditEntry, error)
}

type resources interface {
	Nodes(ctx context.Context, c people.Caller, org string) ([]control.NodeInfo, error)
	Node(ctx context.Context, c people.Caller, org, node string) (control.NodeInfo, error)
	RemoveNode(ctx context.Context, c people.Caller, org, node string) (control.NodeInfo, error)
	Prefixes(ctx context.Context, c people.Caller, org string) ([]mesh.Holding, error)
	ReleasePrefix(ctx context.Context, c people.Caller, org string, prefix netip.Prefix) (mesh.Holding, error)
	Keys(ctx context.Context, c people.Caller, org string) ([]store.RegistrationKey, error)
	CreateKey(ctx context.Context, c people.Caller, org string, params store.KeyParams) (store.RegistrationKey, string, error)
	RevokeKey(ctx context.Context, c people.Caller, org, key string) (store.RegistrationKey, error)
}

type tokens interface {
	Tokens(ctx context.Context, c people.Caller) ([]store.APIToken, error)
	CreateToken(ctx context.Context, c people.Caller, description string, scopes []people.Scope, life time.Duration) (store.APIToken, string, error)
	RevokeToken(ctx context.Context, c people.Caller, id string) (store.APIToken, error)
}

var _ Backend = (*people.People)(nil)
