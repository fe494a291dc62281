package accounts

import (
	"context"
	"nexd/ipam"
	"nexd/mesh"
	"nexd/service/store/engine"
	"nexd/service/store/txn"
	"slices"
)

// CreateOrganization adds an organization. ownerID may be empty. A name in use is a
// mesh.Conflict error, a name that is no DNS label mesh.Invalid.
func (s *Store) CreateOrganization(ctx context.Context, name, ownerID string) (o txn.Organization, err error) {
	err = s.db.Write(ctx, "create organization", func(tx *txn.Tx) error {
		o, err = InsertOrganization(ctx, tx, name, ownerID)
		return err
	})
	return o, err
}

// InsertOrganization does the work of CreateOrganization in a transaction.
func InsertOrganization(ctx context.Context, tx *txn.Tx, name, ownerID string) (txn.Organization, error) {
	o, err := tx.InsertOrganization(ctx, name)
	if err != nil {
		return txn.Organization{}, err
	}
	after := map[string]string{"name": o.Name}
	if ownerID != "" {
		if err := insertMembership(ctx, tx, o.ID, ownerID, mesh.RoleOwner); err != nil {
			return txn.Organization{}, err
		}
		after["owner"] = ownerID
	}
	return o, tx.AuditOrg(ctx, o.ID, "org.create", o.Name, nil, after)
}

// SetDefaultOrganization sets the organization that nodes join by default when the
// person approves them. The person must be a member of it.
func (s *Store) SetDefaultOrganization(ctx context.Context, org mesh.OrgID, userID string) error {
	return s.db.Update(ctx, "set default organization", org, func(o *txn.Org) error {
		m, err := member(ctx, o, userID)
		if err != nil {
			return err
		}
		if m.Role == "" {
			return txn.OrgNotFound(engine.ErrNoRow, string(org))
		}
		var before string
		err = o.QueryRow(ctx, `SELECT o.name FROM organizations o JOIN users u ON u.default_org = o.id WHERE u.id = $1`, userID).Scan(&before)
		if err != nil && !engine.IsNoRow(err) {
			return err
		}
		if before == o.Name {
			return nil
		}
		if _, err := o.Exec(ctx, `UPDATE users SET default_org = $1 WHERE id = $2`, org, userID); err != nil {
			return err
		}
		named := func(name string) map[string]string { return map[string]string{"organization": name} }
		return o.AuditPerson(ctx, "user.default", m.Email, named(before), named(o.Name))
	})
}

// FirstOrganization gives a person without a default organization one: an organization
// that the person belongs to, or a new one with a name like wish.
func (s *Store) FirstOrganization(ctx context.Context, userID, wish string) error {
	return s.db.Write(ctx, "first organization", func(tx *txn.Tx) error {
		return firstOrganization(ctx, tx, userID, wish)
	})
}

func firstOrganization(ctx context.Context, tx *txn.Tx, userID, wish string) error {
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
		o, err := InsertOrganization(ctx, tx, name, userID)
		if err != nil {
			return err
		}
		org = o.ID
	}
	_, err = tx.Exec(ctx, `UPDATE users SET default_org = $1 WHERE id = $2`, org, userID)
	return err
}

// uniqueOrgName is wish as an organization's name, with a number if it is taken.
func uniqueOrgName(ctx context.Context, tx *txn.Tx, wish string) (string, error) {
	return ipam.UniqueName(ctx, wish, func(ctx context.Context, name string) (bool, error) {
		var n int
		err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM organizations WHERE name = $1`, name).Scan(&n)
		return n > 0, err
	})
}
