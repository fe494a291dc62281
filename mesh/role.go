package mesh

// Role is what a person may do in an organization.
type Role string

// The roles. A member sees nodes, prefixes and people, and approves nodes. An auditor
// sees everything and changes nothing. An admin changes everything but owners. An
// owner changes everything.
const (
	RoleOwner   Role = "owner"
	RoleAdmin   Role = "admin"
	RoleMember  Role = "member"
	RoleAuditor Role = "auditor"
)

// Valid reports whether r is one of the roles.
func (r Role) Valid() bool {
	return r == RoleOwner || r == RoleAdmin || r == RoleMember || r == RoleAuditor
}

// Check reports an error unless r is one of the roles.
func (r Role) Check() error {
	if r.Valid() {
		return nil
	}
	return Errorf(Invalid, "role %q is unknown; the roles are owner, admin, member and auditor", string(r))
}

// Inspects reports whether r sees registration keys, invitations and the audit.
func (r Role) Inspects() bool { return r.Manages() || r == RoleAuditor }

// Approves reports whether r lets nodes into the organization.
func (r Role) Approves() bool { return r.Manages() || r == RoleMember }

// Manages reports whether r changes the organization: its nodes, prefixes, keys,
// invitations and members.
func (r Role) Manages() bool { return r == RoleOwner || r == RoleAdmin }

// Grants reports whether r gives and takes another role: nobody deals with a role above
// their own.
func (r Role) Grants(other Role) bool {
	return r == RoleOwner || r == RoleAdmin && other != RoleOwner
}
