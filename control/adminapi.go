package control

import (
	"net/netip"
	"time"

	"nexd/mesh"
)

// The paths of the administrators' API. Every call needs an API token, in the header
// "Authorization: Bearer nxt_…". ORG is the ID or name of an organization, NODE that of a
// node. A thing that the caller may not see is answered like one that does not exist:
// 404 with the same text.
//
//	GET             /v1/users/me                            Person
//	PUT             /v1/users/me/default-organization       DefaultOrganization → Person
//	GET             /v1/users/me/audit?before=ID&limit=N    AuditList of the account and its API tokens
//	GET POST        /v1/orgs                                OrganizationList; NewOrganization → Organization
//	GET             /v1/orgs/ORG                            Organization
//	GET             /v1/orgs/ORG/nodes                      NodeList
//	GET DELETE      /v1/orgs/ORG/nodes/NODE                 NodeInfo
//	GET             /v1/orgs/ORG/prefixes                   HoldingList
//	DELETE          /v1/orgs/ORG/prefixes?prefix=CIDR       mesh.Holding as it was
//	GET POST        /v1/orgs/ORG/keys                       KeyList; NewKey → Key (only here with its text)
//	DELETE          /v1/orgs/ORG/keys/KEY                   Key; KEY is an ID or the first characters
//	GET             /v1/orgs/ORG/members                    MemberList
//	PUT DELETE      /v1/orgs/ORG/members/USER               NewRole → Member; USER is an ID or e-mail address
//	GET POST        /v1/orgs/ORG/invitations                InvitationList; NewInvitation → Invitation (only here with its link)
//	DELETE          /v1/orgs/ORG/invitations/ID             Invitation
//	POST            /v1/invitations/accept                  AcceptInvitation → Organization
//	GET             /v1/orgs/ORG/audit?before=ID&limit=N    AuditList, newest first
//	GET POST        /v1/tokens                              TokenList; NewToken → Token (only here with its text)
//	DELETE          /v1/tokens/ID                           Token
//	GET             /v1/approvals/CODE                      PendingNode: the node that waits with this user code
//	POST            /v1/approvals/CODE/approve              Approve → PendingNode
//	POST            /v1/approvals/CODE/deny                 PendingNode
const (
	PathOrgs             = "/v1/orgs"
	PathMe               = "/v1/users/me"
	PathMyDefault        = "/v1/users/me/default-organization"
	PathMyAudit          = "/v1/users/me/audit"
	PathTokens           = "/v1/tokens"
	PathAcceptInvitation = "/v1/invitations/accept"
	PathApprovals        = "/v1/approvals"
)

// ReasonToken is the reason of an error about a missing, unknown, expired or revoked API
// token (401). ReasonRole is the reason of an error about a call that the role of the
// person or the scope of the token does not allow (403).
const (
	ReasonToken = "token"
	ReasonRole  = "role"
)

// Person is the owner of a token.
type Person struct {
	ID            string         `json:"id"`
	Email         string         `json:"email"`
	Name          string         `json:"name,omitempty"`
	Scopes        []string       `json:"scopes"` // of the token
	Organizations []Organization `json:"organizations"`
}

// DefaultOrganization is the organization that nodes join by default when this person
// approves them.
type DefaultOrganization struct {
	Organization string `json:"organization"`
}

// Organization is an organization as one of its members sees it.
type Organization struct {
	ID      mesh.OrgID     `json:"id"`
	Name    string         `json:"name"`
	Role    mesh.Role      `json:"role"` // of the caller: owner, admin, member or auditor
	Default bool           `json:"default"`
	Pools   []netip.Prefix `json:"pools"`
	Created time.Time      `json:"created"`
}

// OrganizationList is the caller's organizations.
type OrganizationList struct {
	Organizations []Organization `json:"organizations"`
}

// NewOrganization asks for an organization. Its name is a DNS label.
type NewOrganization struct {
	Name string `json:"name"`
}

// NodeInfo is a node as its administrators see it.
type NodeInfo struct {
	ID        mesh.NodeID      `json:"id"`
	Name      string           `json:"name"`
	Hostname  string           `json:"hostname"`
	Key       mesh.Key         `json:"key"`
	OS        string           `json:"os"`
	Version   string           `json:"version"`
	Addresses []netip.Addr     `json:"addresses"`
	Prefixes  []mesh.Holding   `json:"prefixes"`
	Endpoints []netip.AddrPort `json:"endpoints"`
	Created   time.Time        `json:"created"`
	LastSeen  time.Time        `json:"last_seen,omitzero"`
	Online    bool             `json:"online"`
}

// NodeList is the nodes of an organization.
type NodeList struct {
	Nodes []NodeInfo `json:"nodes"`
}

// HoldingList is the prefixes that nodes of an organization hold.
type HoldingList struct {
	Prefixes []mesh.Holding `json:"prefixes"`
}

// NewKey asks for a registration key.
type NewKey struct {
	Description string `json:"description,omitempty"`
	Uses        int    `json:"uses,omitempty"`       // number of nodes; 0 = unlimited
	ExpiresIn   int64  `json:"expires_in,omitempty"` // seconds; 0 = never
	Replace     bool   `json:"replace,omitempty"`    // new nodes replace offline ones of their host name
}

// Key is a registration key. Only the answer that creates the key has Text.
type Key struct {
	ID          string    `json:"id"`
	Prefix      string    `json:"prefix"`
	Description string    `json:"description"`
	State       string    `json:"state"` // usable, revoked, expired or used-up
	Reusable    bool      `json:"reusable"`
	UsesLeft    int       `json:"uses_left"`
	Replace     bool      `json:"replace,omitempty"`
	Used        int       `json:"used"`
	Expires     time.Time `json:"expires,omitzero"`
	Created     time.Time `json:"created"`
	LastUsed    time.Time `json:"last_used,omitzero"`
	Text        string    `json:"key,omitempty"`
}

// KeyList is the registration keys of an organization.
type KeyList struct {
	Keys []Key `json:"keys"`
}

// Member is a person's place in an organization.
type Member struct {
	ID    string    `json:"id"`
	Email string    `json:"email"`
	Name  string    `json:"name,omitempty"`
	Role  mesh.Role `json:"role"`
	Since time.Time `json:"since"`
}

// MemberList is the people of an organization.
type MemberList struct {
	Members []Member `json:"members"`
}

// NewRole gives a member another role.
type NewRole struct {
	Role mesh.Role `json:"role"`
}

// NewInvitation asks for a link with which one person can join.
type NewInvitation struct {
	Role      mesh.Role `json:"role"`
	Email     string    `json:"email,omitempty"`      // if set, only a person with this address can use the link
	ExpiresIn int64     `json:"expires_in,omitempty"` // seconds; 0 = 7 days, at most 30 days
}

// Invitation lets one person join an organization. Only the answer that creates the
// invitation has Link.
type Invitation struct {
	ID      string    `json:"id"`
	Role    mesh.Role `json:"role"`
	Email   string    `json:"email,omitempty"`
	State   string    `json:"state"` // open, used, expired or revoked
	Inviter string    `json:"inviter"`
	UsedBy  string    `json:"used_by,omitempty"` // e-mail address
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires"`
	Link    string    `json:"link,omitempty"`
}

// InvitationList is the invitations of an organization.
type InvitationList struct {
	Invitations []Invitation `json:"invitations"`
}

// AcceptInvitation accepts an invitation; Token is the part of its link after /invite/.
type AcceptInvitation struct {
	Token string `json:"token"`
}

// AuditEntry is one change: who changed what, how, and from where.
type AuditEntry struct {
	ID     string    `json:"id"` // sorts by time
	Time   time.Time `json:"time"`
	Actor  string    `json:"actor"`             // e-mail address, "node NAME" or "nexservice command"
	Via    string    `json:"via"`               // web, token, node or command
	Action string    `json:"action"`            // such as key.create
	Target string    `json:"target"`            // what was changed
	Before string    `json:"before,omitempty"`  // JSON, or empty
	After  string    `json:"after,omitempty"`   // JSON, or empty
	From   string    `json:"from,omitempty"`    // address
	Token  string    `json:"token_id,omitzero"` // of the API token, if one was used
}

// AuditList is a page of the audit. Next is the parameter before of the next page; it is
// empty on the last page.
type AuditList struct {
	Entries []AuditEntry `json:"entries"`
	Next    string       `json:"next,omitempty"`
}

// NewToken asks for an API token. ScopeWrite includes ScopeRead.
type NewToken struct {
	Description string   `json:"description,omitempty"`
	Scopes      []string `json:"scopes"`
	ExpiresIn   int64    `json:"expires_in,omitempty"` // seconds; 0 = 30 days, at most 366 days
}

// The scopes of API tokens. A token with ScopeWrite reads, too.
const (
	ScopeRead  = "read"
	ScopeWrite = "write"
)

// Token is an API token. Only the answer that creates the token has Text.
type Token struct {
	ID          string    `json:"id"`
	Prefix      string    `json:"prefix"`
	Description string    `json:"description"`
	Scopes      []string  `json:"scopes"`
	State       string    `json:"state"` // usable, expired or revoked
	Created     time.Time `json:"created"`
	Expires     time.Time `json:"expires"`
	LastUsed    time.Time `json:"last_used,omitzero"`
	Text        string    `json:"token,omitempty"`
}

// TokenList is the caller's API tokens.
type TokenList struct {
	Tokens []Token `json:"tokens"`
}

// PendingNode is a node that waits for approval, as it describes itself.
type PendingNode struct {
	UserCode    string         `json:"user_code"`
	Hostname    string         `json:"hostname"`
	OS          string         `json:"os"`
	Version     string         `json:"version"`
	Address     netip.Addr     `json:"address"` // from which it calls
	Key         mesh.Key       `json:"key"`
	Fingerprint string         `json:"fingerprint"` // of Key, as the node shows it
	Prefixes    []netip.Prefix `json:"prefixes"`
	State       string         `json:"state"` // pending, approved, denied
	Expires     time.Time      `json:"expires"`
}

// Approve chooses the organization that a node joins; empty = the default one.
type Approve struct {
	Organization string `json:"organization,omitempty"`
}
