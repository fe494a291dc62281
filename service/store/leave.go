package store

import (
	"context"

	"nexd/mesh"
	"nexd/service/store/engine"
)

// RemoveUser ends a person's account: memberships, sessions, API tokens, identities
// and open invitations go with it; nodes they let in and registration keys stay. Who
// is the last owner among other members is a mesh.Conflict; an organization where
// they are alone is left without people. It says where the person was.
func (s *Store) RemoveUser(ctx context.Context, userID string) (ms []Membership, err error) {
	err = s.write(ctx, "remove user", func(tx engine.Tx) error {
		u, err := oneUser(ctx, tx, `id`, userID)
		if err != nil {
			return err
		}
		if ms, err = memberships(ctx, tx, userID); err != nil {
			return err
		}
		was := map[string]mesh.Role{}
		for _, m := range ms {
			if err := s.leave(ctx, tx, m.Organization.ID, userID); err != nil {
				return err
			}
			was[m.Organization.Name] = m.Role
		}
		for _, query := range []string{
			`DELETE FROM web_sessions WHERE user_id = $1`,
			`DELETE FROM api_tokens WHERE user_id = $1`,
			`DELETE FROM identities WHERE user_id = $1`,
			`DELETE FROM users WHERE id = $1`,
		} {
			if _, err := tx.Exec(ctx, query, userID); err != nil {
				return err
			}
		}
		return writeAudit(ctx, tx, "", s.opts.Now(), "user.remove", u.Email, map[string]any{"name": u.Name, "organizations": was}, nil)
	})
	if err != nil {
		return nil, err
	}
	return ms, nil
}

// leave takes a person out of one of their organizations, unless that
// would leave other members without an owner.
func (s *Store) leave(ctx context.Context, tx engine.Tx, org mesh.OrgID, userID string) error {
	t, err := s.lock(ctx, tx, org)
	if err != nil {
		return err
	}
	m, err := t.member(ctx, userID)
	if err != nil {
		return err
	}
	var others int
	if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM memberships WHERE org = $1 AND user_id <> $2`, org, userID).Scan(&others); err != nil {
		return err
	}
	if others > 0 {
		if err := t.keepOwner(ctx, m); err != nil {
			return err
		}
	}
	return t.dropMember(ctx, m)
}
