package accounts

import (
	"context"
	"time"

	"nexd/mesh"
	"nexd/service/store/column"
	"nexd/service/store/engine"
	"nexd/service/store/txn"
)

// Invitation lets one person join an organization. The store does not keep its secret.
type Invitation struct {
	Org     mesh.OrgID
	ID      string
	Role    mesh.Role
	Email   string // the only address that may accept; empty = any
	Inviter string // e-mail address
	Created time.Time
	Expires time.Time
	Used    time.Time // zero = not used
	UsedBy  string    // e-mail address
	Revoked time.Time // zero = not revoked
}

// State is open, used, expired or revoked.
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

const invitationColumns = `org, id, role, email, inviter, created, expires, used, used_by, revoked`

func scanInvitation(scan txn.Scan) (i Invitation, err error) {
	var created, expires, used, revoked int64
	err = scan(&i.Org, &i.ID, &i.Role, &i.Email, &i.Inviter, &created, &expires, &used, &i.UsedBy, &revoked)
	i.Created, i.Expires, i.Used, i.Revoked = column.ParseTime(created), column.ParseTime(expires), column.ParseTime(used), column.ParseTime(revoked)
	return i, err
}

// CreateInvitation makes an invitation and the secret of its link. The store keeps only
// the SHA-256 of the secret. email may be empty.
func (s *Store) CreateInvitation(ctx context.Context, org mesh.OrgID, role mesh.Role, email string, life time.Duration) (i Invitation, secret string, err error) {
	if err := role.Check(); err != nil {
		return Invitation{}, "", err
	}
	if life <= 0 {
		return Invitation{}, "", mesh.Errorf(mesh.Invalid, "store: an invitation cannot have a lifetime of %v", life)
	}
	if email != "" {
		if email, err = cleanEmail(email); err != nil {
			return Invitation{}, "", err
		}
	}
	secret = column.NewSecret(invitePrefix)
	err = s.db.Update(ctx, "create invitation", org, func(o *txn.Org) error {
		i = Invitation{Org: org, ID: column.NewID(), Role: role, Email: email, Inviter: txn.ActorOf(ctx).Name, Created: o.Now, Expires: o.Now.Add(life)}
		_, err := o.Exec(ctx, `INSERT INTO invitations (org, id, hash, role, email, inviter, created, expires) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
			org, i.ID, column.Hash(secret), role, email, i.Inviter, column.Time(o.Now), column.Time(i.Expires))
		if err != nil {
			return err
		}
		return o.Audit(ctx, "invitation.create", "invitation "+i.ID, nil, map[string]any{"role": role, "email": email, "expires": i.Expires})
	})
	if err != nil {
		return Invitation{}, "", err
	}
	return i, secret, nil
}

// Invitations lists the invitations of an organization, newest first.
func (s *Store) Invitations(ctx context.Context, org mesh.OrgID) (is []Invitation, err error) {
	err = s.db.Read(ctx, "list invitations", func(q engine.Queryer) error {
		is, err = txn.Collect(ctx, q, scanInvitation, `SELECT `+invitationColumns+` FROM invitations WHERE org = $1 ORDER BY created DESC, id`, org)
		return err
	})
	return is, err
}

// RevokeInvitation revokes an open invitation if allowed, which it calls in the
// transaction, agrees. An invitation that is not open stays as it is.
func (s *Store) RevokeInvitation(ctx context.Context, org mesh.OrgID, id string, allowed func(Invitation) error) (i Invitation, err error) {
	err = s.db.Update(ctx, "revoke invitation", org, func(o *txn.Org) error {
		i, err = scanInvitation(o.QueryRow(ctx, `SELECT `+invitationColumns+` FROM invitations WHERE org = $1 AND id = $2`, org, id).Scan)
		if engine.IsNoRow(err) {
			return mesh.Errorf(mesh.NotFound, "store: no invitation has this ID")
		}
		if err == nil {
			err = allowed(i)
		}
		if err != nil || i.State(o.Now) != "open" {
			return err
		}
		return revokeInvitation(ctx, o, &i)
	})
	return i, err
}

func revokeInvitation(ctx context.Context, o *txn.Org, i *Invitation) error {
	i.Revoked = o.Now
	if err := txn.ChangedOne(o.Exec(ctx, `UPDATE invitations SET revoked = $3 WHERE org = $1 AND id = $2`, o.ID, i.ID, column.Time(o.Now))); err != nil {
		return err
	}
	return o.Audit(ctx, "invitation.revoke", "invitation "+i.ID,
		map[string]any{"role": i.Role, "email": i.Email, "inviter": i.Inviter, "expires": i.Expires}, map[string]any{"revoked": i.Revoked})
}

// endInvitations revokes a member's open invitations to roles that the member's role
// cannot grant, so that no removed or demoted member returns by a link of their own.
func endInvitations(ctx context.Context, o *txn.Org, m Member) error {
	open, err := txn.Collect(ctx, o, scanInvitation, `SELECT `+invitationColumns+` FROM invitations
		WHERE org = $1 AND inviter = $2 AND used = 0 AND revoked = 0 AND expires > $3 ORDER BY created, id`, o.ID, m.Email, column.Time(o.Now))
	if err != nil {
		return err
	}
	for _, i := range open {
		if m.Role.Grants(i.Role) {
			continue
		}
		if err := revokeInvitation(ctx, o, &i); err != nil {
			return err
		}
	}
	return nil
}

func errNoInvitation() error {
	return mesh.Errorf(mesh.NotFound, "store: the invitation is unknown, used, revoked or expired; ask for another")
}

// Invitation finds an open invitation, and its organization, by the secret. Every other
// invitation is mesh.NotFound.
func (s *Store) Invitation(ctx context.Context, secret string) (i Invitation, o txn.Organization, err error) {
	err = s.db.Read(ctx, "find invitation", func(q engine.Queryer) error {
		if i, err = openInvitation(ctx, q, secret, s.db.Now()); err != nil {
			return err
		}
		o, err = txn.ScanOrganization(q.QueryRow(ctx, `SELECT `+txn.OrgColumns+` FROM organizations WHERE id = $1`, i.Org).Scan)
		return err
	})
	if err != nil {
		return Invitation{}, txn.Organization{}, err
	}
	return i, o, nil
}

func openInvitation(ctx context.Context, q engine.Queryer, secret string, now time.Time) (Invitation, error) {
	want, hash := column.Hash(secret), ""
	i, err := scanInvitation(func(dest ...any) error {
		return q.QueryRow(ctx, `SELECT `+invitationColumns+`, hash FROM invitations WHERE hash = $1`, want).Scan(append(dest, &hash)...)
	})
	if engine.IsNoRow(err) || err == nil && (!column.SameHash(hash, want) || i.State(now) != "open") {
		return Invitation{}, errNoInvitation()
	}
	return i, err
}

// AcceptInvitation makes a user a member by an invitation. For a user who is already a
// member it is a mesh.Conflict error, and the invitation stays open.
func (s *Store) AcceptInvitation(ctx context.Context, secret, userID string) (o txn.Organization, err error) {
	err = s.db.Write(ctx, "accept invitation", func(tx *txn.Tx) error {
		o, err = acceptInvitation(ctx, tx, secret, userID)
		return err
	})
	return o, err
}

// acceptInvitation uses an invitation up in the transaction that adds the member. Of two
// transactions that want it, the second finds it used.
func acceptInvitation(ctx context.Context, tx *txn.Tx, secret, userID string) (txn.Organization, error) {
	i, err := openInvitation(ctx, tx, secret, tx.Now)
	if err != nil {
		return txn.Organization{}, err
	}
	o, err := tx.Lock(ctx, i.Org)
	if err != nil {
		return txn.Organization{}, err
	}
	m, err := member(ctx, o, userID)
	switch {
	case err != nil:
		return txn.Organization{}, err
	case m.Role != "":
		return txn.Organization{}, mesh.Errorf(mesh.Conflict, "store: %s is already a member of organization %s", m.Email, o.Name)
	case i.Email != "" && i.Email != m.Email:
		return txn.Organization{}, mesh.Errorf(mesh.Denied, "store: the invitation is for another e-mail address")
	}
	used, err := o.Exec(ctx, `UPDATE invitations SET used = $3, used_by = $4
		WHERE org = $1 AND hash = $2 AND used = 0 AND revoked = 0 AND expires > $3`, i.Org, column.Hash(secret), column.Time(o.Now), m.Email)
	if err == nil && used != 1 {
		err = errNoInvitation()
	}
	if err != nil {
		return txn.Organization{}, err
	}
	m.Role = i.Role
	return o.Organization, setMember(ctx, o, m, "", i.ID)
}
