package store

import (
	"context"
	"slices"
	"time"

	"nexd/mesh"
	"nexd/service/store/engine"
)

// SetMembership gives a user a role in an organization; a new member, if need be.
// The last owner keeps the role.
func (s *Store) SetMembership(ctx context.Context, org mesh.OrgID, userID string, role mesh.Role) error {
	_, err := s.ChangeMember(ctx, org, userID, role, func(Member) error { return nil })
	return err
}

// ChangeMember is SetMembership with a say: allowed is asked, in the transaction,
// with the member as before (Role is empty for who is none). Invitations that the
// member made and, with the new role, could not make end.
func (s *Store) ChangeMember(ctx context.Context, org mesh.OrgID, userID string, role mesh.Role, allowed func(Member) error) (m Member, err error) {
	if !role.Valid() {
		return Member{}, mesh.Errorf(mesh.Invalid, "store: role %q is none of owner, admin, member, auditor", role)
	}
	err = s.update(ctx, "set membership", org, func(t *Tx) error {
		if m, err = t.member(ctx, userID); err != nil {
			return err
		}
		if err := allowed(m); err != nil {
			return err
		}
		if m.Role == role {
			return nil
		}
		if err := t.keepOwner(ctx, m); err != nil {
			return err
		}
		before := m.Role
		m.Role = role
		if err := t.setMember(ctx, m, before, ""); err != nil {
			return err
		}
		return t.endInvitations(ctx, m)
	})
	return m, err
}

// RemoveMember ends a membership, unless it is the last owner's, and the open
// invitations that the member made; allowed is asked as by ChangeMember.
func (s *Store) RemoveMember(ctx context.Context, org mesh.OrgID, userID string, allowed func(Member) error) (m Member, err error) {
	err = s.update(ctx, "remove member", org, func(t *Tx) error {
		if m, err = t.member(ctx, userID); err != nil {
			return err
		}
		if m.Role == "" {
			return mesh.Errorf(mesh.NotFound, "store: no member %s", userID)
		}
		if err := allowed(m); err != nil {
			return err
		}
		if err := t.keepOwner(ctx, m); err != nil {
			return err
		}
		return t.dropMember(ctx, m)
	})
	return m, err
}

// dropMember ends a membership and what hangs on it.
func (t *Tx) dropMember(ctx context.Context, m Member) error {
	if err := changedOne(t.exec(ctx, `DELETE FROM memberships WHERE org = $1 AND user_id = $2`, t.org.ID, m.UserID)); err != nil {
		return err
	}
	if _, err := t.exec(ctx, `UPDATE users SET default_org = '' WHERE default_org = $1 AND id = $2`, t.org.ID, m.UserID); err != nil {
		return err
	}
	if err := t.audit(ctx, "member.remove", m.Email, map[string]mesh.Role{"role": m.Role}, nil); err != nil {
		return err
	}
	return t.endInvitations(ctx, Member{Email: m.Email})
}

// member is a person as a member of the organization; Role is empty if they are none.
func (t *Tx) member(ctx context.Context, userID string) (Member, error) {
	u, err := oneUser(ctx, t.tx, `id`, userID)
	if err != nil {
		return Member{}, err
	}
	m := Member{UserID: u.ID, Email: u.Email, Name: u.Name}
	var since int64
	err = t.tx.QueryRow(ctx, `SELECT role, created FROM memberships WHERE org = $1 AND user_id = $2`, t.org.ID, userID).Scan(&m.Role, &since)
	m.Since = toTime(since)
	if isNoRow(err) {
		err = nil
	}
	return m, err
}

// keepOwner refuses to change the last owner.
func (t *Tx) keepOwner(ctx context.Context, m Member) error {
	if m.Role != mesh.RoleOwner {
		return nil
	}
	var owners int
	err := t.tx.QueryRow(ctx, `SELECT COUNT(*) FROM memberships WHERE org = $1 AND role = $2`, t.org.ID, mesh.RoleOwner).Scan(&owners)
	if err == nil && owners < 2 {
		return mesh.Errorf(mesh.Conflict, "store: %s is the last owner of organization %s; make another one first", m.Email, t.org.Name)
	}
	return err
}

// setMember writes a membership and its audit row.
func (t *Tx) setMember(ctx context.Context, m Member, before mesh.Role, by string) error {
	if err := insertMembership(ctx, t.tx, t.org.ID, m.UserID, m.Role, t.now); err != nil {
		return err
	}
	after := map[string]string{"role": string(m.Role)}
	if by != "" {
		after["invitation"] = by
	}
	if before == "" {
		return t.audit(ctx, "member.add", m.Email, nil, after)
	}
	return t.audit(ctx, "member.role", m.Email, map[string]mesh.Role{"role": before}, after)
}

func insertMembership(ctx context.Context, tx engine.Tx, org mesh.OrgID, userID string, role mesh.Role, now time.Time) error {
	_, err := tx.Exec(ctx, `INSERT INTO memberships (org, user_id, role, created) VALUES ($1, $2, $3, $4)
		ON CONFLICT (org, user_id) DO UPDATE SET role = excluded.role`, org, userID, role, fromTime(now))
	return err
}

// Members lists the people of an organization by e-mail address.
func (s *Store) Members(ctx context.Context, org mesh.OrgID) (ms []Member, err error) {
	err = s.read(ctx, "list members", func(q engine.Queryer) error {
		ms, err = collect(ctx, q, func(scan func(...any) error) (m Member, err error) {
			var since int64
			err = scan(&m.UserID, &m.Email, &m.Name, &m.Role, &since)
			m.Since = toTime(since)
			return m, err
		}, `SELECT u.id, u.email, u.name, m.role, m.created FROM memberships m JOIN users u ON u.id = m.user_id WHERE m.org = $1 ORDER BY u.email`, org)
		return err
	})
	return ms, err
}

// SetDefaultOrganization says where nodes that a person approves go by default; it
// must be one of the person's.
func (s *Store) SetDefaultOrganization(ctx context.Context, org mesh.OrgID, userID string) error {
	return s.update(ctx, "set default organization", org, func(t *Tx) error {
		m, err := t.member(ctx, userID)
		if err != nil || m.Role == "" {
			return firstError(err, orgNotFound(engine.ErrNoRow, string(org)))
		}
		var before string
		err = t.tx.QueryRow(ctx, `SELECT o.name FROM organizations o JOIN users u ON u.default_org = o.id WHERE u.id = $1`, userID).Scan(&before)
		if err != nil && !isNoRow(err) {
			return err
		}
		if before == t.org.Name {
			return nil
		}
		if _, err := t.exec(ctx, `UPDATE users SET default_org = $1 WHERE id = $2`, org, userID); err != nil {
			return err
		}
		named := func(name string) map[string]string { return map[string]string{"organization": name} }
		return writeAudit(ctx, t.tx, "", t.now, "user.default", m.Email, named(before), named(t.org.Name))
	})
}

// FirstOrganization gives a person who is in no organization one of their own,
// named like wish, and a default organization to who has none. It does nothing for
// others.
func (s *Store) FirstOrganization(ctx context.Context, userID, wish string) error {
	return s.write(ctx, "first organization", func(tx engine.Tx) error {
		return s.firstOrganization(ctx, tx, userID, wish)
	})
}

func (s *Store) firstOrganization(ctx context.Context, tx engine.Tx, userID, wish string) error {
	u, err := oneUser(ctx, tx, `id`, userID)
	if err != nil || u.DefaultOrg != "" {
		return err
	}
	ms, err := memberships(ctx, tx, userID)
	if err != nil {
		return err
	}
	var org mesh.OrgID
	if len(ms) > 0 {
		at := max(0, slices.IndexFunc(ms, func(m Membership) bool { return m.Role == mesh.RoleOwner }))
		org = ms[at].Organization.ID
	} else {
		name, err := uniqueOrgName(ctx, tx, wish)
		if err != nil {
			return err
		}
		o, err := insertOrganization(ctx, tx, name, userID, s.opts.Now())
		if err != nil {
			return err
		}
		org = o.ID
	}
	_, err = tx.Exec(ctx, `UPDATE users SET default_org = $1 WHERE id = $2`, org, userID)
	return err
}
