package accounts

import (
	"context"
	"time"

	"nexd/mesh"
	"nexd/service/store/column"
	"nexd/service/store/engine"
	"nexd/service/store/txn"
)

// Member is a person's place in an organization.
type Member struct {
	UserID string
	Email  string
	Name   string
	Role   mesh.Role
	Since  time.Time
}

// Membership is a user's place in an organization.
type Membership struct {
	Organization txn.Organization
	Role         mesh.Role
}

// SetMembership gives a user a role in an organization. A user who is not a member
// becomes one. Changing the last owner is a mesh.Conflict error.
func (s *Store) SetMembership(ctx context.Context, org mesh.OrgID, userID string, role mesh.Role) error {
	_, err := s.ChangeMember(ctx, org, userID, role, func(Member) error { return nil })
	return err
}

// ChangeMember is SetMembership if allowed agrees. It calls allowed in the transaction
// with the member as before; Role is empty for a person who is not a member. It also
// revokes the member's open invitations to roles that the new role cannot grant.
func (s *Store) ChangeMember(ctx context.Context, org mesh.OrgID, userID string, role mesh.Role, allowed func(Member) error) (m Member, err error) {
	if err := role.Check(); err != nil {
		return Member{}, err
	}
	err = s.db.Update(ctx, "set membership", org, func(o *txn.Org) error {
		if m, err = member(ctx, o, userID); err != nil {
			return err
		}
		if err := allowed(m); err != nil {
			return err
		}
		if m.Role == role {
			return nil
		}
		if err := keepOwner(ctx, o, m); err != nil {
			return err
		}
		before := m.Role
		m.Role = role
		if err := setMember(ctx, o, m, before, ""); err != nil {
			return err
		}
		return endInvitations(ctx, o, m)
	})
	return m, err
}

// RemoveMember ends a membership and revokes the member's open invitations, if allowed
// agrees, as for ChangeMember. Removing the last owner is a mesh.Conflict error.
func (s *Store) RemoveMember(ctx context.Context, org mesh.OrgID, userID string, allowed func(Member) error) (m Member, err error) {
	err = s.db.Update(ctx, "remove member", org, func(o *txn.Org) error {
		if m, err = member(ctx, o, userID); err != nil {
			return err
		}
		if m.Role == "" {
			return mesh.Errorf(mesh.NotFound, "store: no member %s", userID)
		}
		if err := allowed(m); err != nil {
			return err
		}
		if err := keepOwner(ctx, o, m); err != nil {
			return err
		}
		return dropMember(ctx, o, m)
	})
	return m, err
}

// dropMember ends a membership, and with it the default organization and the open
// invitations.
func dropMember(ctx context.Context, o *txn.Org, m Member) error {
	if err := txn.ChangedOne(o.Exec(ctx, `DELETE FROM memberships WHERE org = $1 AND user_id = $2`, o.ID, m.UserID)); err != nil {
		return err
	}
	if _, err := o.Exec(ctx, `UPDATE users SET default_org = '' WHERE default_org = $1 AND id = $2`, o.ID, m.UserID); err != nil {
		return err
	}
	if err := o.Audit(ctx, "member.remove", m.Email, map[string]mesh.Role{"role": m.Role}, nil); err != nil {
		return err
	}
	return endInvitations(ctx, o, Member{Email: m.Email})
}

// member is a user as a member of the organization. Role is empty if the user is none.
func member(ctx context.Context, o *txn.Org, userID string) (Member, error) {
	u, err := oneUser(ctx, o, `id`, userID)
	if err != nil {
		return Member{}, err
	}
	m := Member{UserID: u.ID, Email: u.Email, Name: u.Name}
	var since int64
	err = o.QueryRow(ctx, `SELECT role, created FROM memberships WHERE org = $1 AND user_id = $2`, o.ID, userID).Scan(&m.Role, &since)
	m.Since = column.ParseTime(since)
	if engine.IsNoRow(err) {
		err = nil
	}
	return m, err
}

// keepOwner refuses to change the last owner.
func keepOwner(ctx context.Context, o *txn.Org, m Member) error {
	if m.Role != mesh.RoleOwner {
		return nil
	}
	var owners int
	err := o.QueryRow(ctx, `SELECT COUNT(*) FROM memberships WHERE org = $1 AND role = $2`, o.ID, mesh.RoleOwner).Scan(&owners)
	if err == nil && owners < 2 {
		return mesh.Errorf(mesh.Conflict, "store: %s is the last owner of organization %s; make somebody else an owner first", m.Email, o.Name)
	}
	return err
}

// setMember writes a membership and its audit row.
func setMember(ctx context.Context, o *txn.Org, m Member, before mesh.Role, by string) error {
	if err := insertMembership(ctx, o.Tx, o.ID, m.UserID, m.Role); err != nil {
		return err
	}
	after := map[string]string{"role": string(m.Role)}
	if by != "" {
		after["invitation"] = by
	}
	if before == "" {
		return o.Audit(ctx, "member.add", m.Email, nil, after)
	}
	return o.Audit(ctx, "member.role", m.Email, map[string]mesh.Role{"role": before}, after)
}

func insertMembership(ctx context.Context, tx *txn.Tx, org mesh.OrgID, userID string, role mesh.Role) error {
	_, err := tx.Exec(ctx, `INSERT INTO memberships (org, user_id, role, created) VALUES ($1, $2, $3, $4)
		ON CONFLICT (org, user_id) DO UPDATE SET role = excluded.role`, org, userID, role, column.Time(tx.Now))
	return err
}

// Members lists the people of an organization by e-mail address.
func (s *Store) Members(ctx context.Context, org mesh.OrgID) (ms []Member, err error) {
	err = s.db.Read(ctx, "list members", func(q engine.Queryer) error {
		ms, err = txn.Collect(ctx, q, func(scan txn.Scan) (m Member, err error) {
			var since int64
			err = scan(&m.UserID, &m.Email, &m.Name, &m.Role, &since)
			m.Since = column.ParseTime(since)
			return m, err
		}, `SELECT u.id, u.email, u.name, m.role, m.created FROM memberships m JOIN users u ON u.id = m.user_id WHERE m.org = $1 ORDER BY u.email`, org)
		return err
	})
	return ms, err
}

// Memberships lists the organizations of a user, by name.
func (s *Store) Memberships(ctx context.Context, userID string) (ms []Membership, err error) {
	err = s.db.Read(ctx, "list memberships", func(q engine.Queryer) error {
		ms, err = memberships(ctx, q, userID)
		return err
	})
	return ms, err
}

func memberships(ctx context.Context, q engine.Queryer, userID string) ([]Membership, error) {
	return txn.Collect(ctx, q, func(scan txn.Scan) (m Membership, err error) {
		m.Organization, err = txn.ScanOrganization(func(dest ...any) error { return scan(append(dest, &m.Role)...) })
		return m, err
	}, `SELECT `+txn.OrgColumns+`, role FROM organizations
		JOIN (SELECT org, role FROM memberships WHERE user_id = $1) m ON m.org = id ORDER BY name`, userID)
}
