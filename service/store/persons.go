package store

import (
	"net/netip"
	"time"

	"nexd/mesh"
)

// Member is a person's place in an organization.
type Member struct {
	UserID string
	Email  string
	Name   string
	Role   mesh.Role
	Since  time.Time
}

// Invitation lets one person join an organization. Its secret is not kept.
type Invitation struct {
	Org     mesh.OrgID
	ID      string
	Role    mesh.Role
	Email   string // if set, for a person of this address only
	Inviter string // e-mail address
	Created time.Time
	Expires time.Time
	Used    time.Time // zero = not
	UsedBy  string    // e-mail address
	Revoked time.Time // zero = not
}

// State is what became of an invitation: open, used, expired or revoked.
func (i Invitation) State(now time.Time) string {
	switch {
	case !i.Used.IsZero():
		return "used"
	case !i.Revoked.IsZero():
		return "revoked"
	case !i.Expires.After(now):
		return "expired"
	}
	return "open"
}

// State is what a registration key is good for: usable, revoked, expired or used-up.
func (k RegistrationKey) State(now time.Time) string {
	switch {
	case !k.Revoked.IsZero():
		return "revoked"
	case !k.Expires.IsZero() && !k.Expires.After(now):
		return "expired"
	case !k.Reusable && k.UsesLeft == 0:
		return "used-up"
	}
	return "usable"
}

// APIToken is a person's API token as it is kept: its text is not.
type APIToken struct {
	ID          string
	UserID      string
	Prefix      string // the first characters, for recognition
	Description string
	Scopes      string // words with blanks between them
	Created     time.Time
	Expires     time.Time
	LastUsed    time.Time
	Revoked     time.Time // zero = not
}

// State is what a token is good for: usable, expired or revoked.
func (t APIToken) State(now time.Time) string {
	switch {
	case !t.Revoked.IsZero():
		return "revoked"
	case !t.Expires.After(now):
		return "expired"
	}
	return "usable"
}

// Actor is who makes a change, for the audit.
type Actor struct {
	UserID string // empty: not a person
	Name   string // e-mail address, "node NAME" or "nexservice command"
	Via    string // web, token, node or command
	Token  string // ID of the API token, if one was used
	From   netip.Addr
}

// AuditEntry is one change.
type AuditEntry struct {
	Org    mesh.OrgID // empty: about a person, not an organization
	ID     string     // sorts by time
	Time   time.Time
	Actor  Actor
	Action string // such as key.create
	Target string // what was changed, in words
	Before string // JSON; may be empty
	After  string // JSON; may be empty
}
