package store

import (
	"context"
	"time"

	"nexd/mesh"
	"nexd/service/store/engine"
)

const invitationColumns = `org, id, role, email, inviter, created, expires, used, used_by, revoked`

func scanInvitation(scan func(...any) error) (i Invitation, err error) {
	var created, expires, used, revoked int64
	err = scan(&i.Org, &i.ID, &i.Role, &i.Email, &i.Inviter, &created, &expires, &used, &i.UsedBy, &revoked)
	i.Created, i.Expires, i.Used, i.Revoked = toTime(created), toTime(expires), toTime(used), toTime(revoked)
	return i, err
}

// CreateInvitation makes an invitation and the secret of its link, of which the
// store keeps the SHA-256. email may be empty.
func (s *Store) CreateInvitation(ctx context.Context, org mesh.OrgID, role mesh.Role, email string, life time.Duration) (i Invitation, secret string, err error) {
	switch {
	case !role.Valid():
		return Invitation{}, "", mesh.Errorf(mesh.Invalid, "store: role %q is none of owner, admin, member, auditor", role)
	case life <= 0:
		return Invitation{}, "", mesh.Errorf(mesh.Invalid, "store: an invitation that lives for %v", life)
	}
	if email != "" {
		if email, err = cleanEmail(email); err != nil {
			return Invitation{}, "", err
		}
	}
	secret = newSecret(invitePrefix)
	err = s.update(ctx, "create invitation", org, func(t *Tx) error {
		i = Invitation{Org: org, ID: newID(), Role: role, Email: email, Inviter: actorOf(ctx).Name, Created: t.now, Expires: t.now.Add(life)}
		_, err := t.exec(ctx, `INSERT INTO invitations (org, id, hash, role, email, inviter, created, expires) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
			org, i.ID, hashSecret(secret), role, email, i.Inviter, fromTime(t.now), fromTime(i.Expires))
		if err != nil {
			return err
		}
		return t.audit(ctx, "invitation.create", "invitation "+i.ID, nil, map[string]any{"role": role, "email": email, "expires": i.Expires})
	})
	if err != nil {
		return Invitation{}, "", err
	}
	return i, secret, nil
}

// Invitations lists the invitations of an organization, newest first.
func (s *Store) Invitations(ctx context.Context, org mesh.OrgID) (is []Invitation, err error) {
	err = s.read(ctx, "list invitations", func(q engine.Queryer) error {
		is, err = collect(ctx, q, scanInvitation, `SELECT `+invitationColumns+` FROM invitations WHERE org = $1 ORDER BY created DESC, id`, org)
		return err
	})
	return is, err
}

// RevokeInvitation ends an invitation; what is used stays so. allowed is asked
// first, in the transaction.
func (s *Store) RevokeInvitation(ctx context.Context, org mesh.OrgID, id string, allowed func(Invitation) error) (i Invitation, err error) {
	err = s.update(ctx, "revoke invitation", org, func(t *Tx) error {
		i, err = scanInvitation(t.tx.QueryRow(ctx, `SELECT `+invitationColumns+` FROM invitations WHERE org = $1 AND id = $2`, org, id).Scan)
		if isNoRow(err) {
			return mesh.Errorf(mesh.NotFound, "store: no invitation of that ID")
		}
		if err == nil {
			err = allowed(i)
		}
		if err != nil || i.State(t.now) != "open" {
			return err
		}
		return t.revokeInvitation(ctx, &i)
	})
	return i, err
}

func (t *Tx) revokeInvitation(ctx context.Context, i *Invitation) error {
	i.Revoked = t.now
	if err := changedOne(t.exec(ctx, `UPDATE invitations SET revoked = $3 WHERE org = $1 AND id = $2`, t.org.ID, i.ID, fromTime(t.now))); err != nil {
		return err
	}
	return t.audit(ctx, "invitation.revoke", "invitation "+i.ID,
		map[string]any{"role": i.Role, "email": i.Email, "inviter": i.Inviter, "expires": i.Expires}, map[string]any{"revoked": i.Revoked})
}

// endInvitations revokes what a member has open and, as what they are now, could
// not invite to: nobody comes back by a link of their own.
func (t *Tx) endInvitations(ctx context.Context, m Member) error {
	open, err := collect(ctx, t.tx, scanInvitation, `SELECT `+invitationColumns+` FROM invitations
		WHERE org = $1 AND inviter = $2 AND used = 0 AND revoked = 0 AND expires > $3 ORDER BY created, id`, t.org.ID, m.Email, fromTime(t.now))
	if err != nil {
		return err
	}
	for _, i := range open {
		if m.Role.Grants(i.Role) {
			continue
		}
		if err := t.revokeInvitation(ctx, &i); err != nil {
			return err
		}
	}
	return nil
}

func errNoInvitation() error {
	return mesh.Errorf(mesh.NotFound, "store: the invitation is unknown, used, revoked or expired; ask for another")
}

// Invitation finds an open invitation by its secret, and its organization; others
// are mesh.NotFound.
func (s *Store) Invitation(ctx context.Context, secret string) (i Invitation, o Organization, err error) {
	err = s.read(ctx, "find invitation", func(q engine.Queryer) error {
		if i, err = openInvitation(ctx, q, secret, s.opts.Now()); err != nil {
			return err
		}
		o, err = scanOrganization(q.QueryRow(ctx, `SELECT `+orgColumns+` FROM organizations WHERE id = $1`, i.Org).Scan)
		return err
	})
	if err != nil {
		return Invitation{}, Organization{}, err
	}
	return i, o, nil
}

func openInvitation(ctx context.Context, q engine.Queryer, secret string, now time.Time) (Invitation, error) {
	want, hash := hashSecret(secret), ""
	i, err := scanInvitation(func(dest ...any) error {
		return q.QueryRow(ctx, `SELECT `+invitationColumns+`, hash FROM invitations WHERE hash = $1`, want).Scan(append(dest, &hash)...)
	})
	if isNoRow(err) || err == nil && (!sameHash(hash, want) || i.State(now) != "open") {
		return Invitation{}, errNoInvitation()
	}
	return i, err
}

// AcceptInvitation makes a person a member by an invitation. Who is a member keeps
// their role, and the invitation stays open: mesh.Conflict.
func (s *Store) AcceptInvitation(ctx context.Context, secret, userID string) (o Organization, err error) {
	err = s.write(ctx, "accept invitation", func(tx engine.Tx) error {
		o, err = s.acceptInvitation(ctx, tx, secret, userID)
		return err
	})
	return o, err
}

// acceptInvitation uses an invitation up in the transaction that adds the member:
// of two that want it, the second finds it used.
func (s *Store) acceptInvitation(ctx context.Context, tx engine.Tx, secret, userID string) (Organization, error) {
	i, err := openInvitation(ctx, tx, secret, s.opts.Now())
	if err != nil {
		return Organization{}, err
	}
	t, err := s.lock(ctx, tx, i.Org)
	if err != nil {
		return Organization{}, err
	}
	m, err := t.member(ctx, userID)
	switch {
	case err != nil:
		return Organization{}, err
	case m.Role != "":
		return Organization{}, mesh.Errorf(mesh.Conflict, "store: %s is in organization %s already", m.Email, t.org.Name)
	case i.Email != "" && i.Email != m.Email:
		return Organization{}, mesh.Errorf(mesh.Denied, "store: the invitation is for another e-mail address")
	}
	used, err := t.exec(ctx, `UPDATE invitations SET used = $3, used_by = $4
		WHERE org = $1 AND hash = $2 AND used = 0 AND revoked = 0 AND expires > $3`, i.Org, hashSecret(secret), fromTime(t.now), m.Email)
	if err != nil || used != 1 {
		return Organization{}, firstError(err, errNoInvitation())
	}
	m.Role = i.Role
	return t.org, t.setMember(ctx, m, "", i.ID)
}
