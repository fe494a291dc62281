package store

import (
	"context"
	"database/sql"
	"strings"
	"time"

	"nexd/mesh"
)

// User is a person who may sign in.
type User struct {
	ID           string
	Email        string // lower case
	PasswordHash string // opaque here
	Created      time.Time
}

// Role is what a user may do in an organization.
type Role string

// RoleOwner may do everything in an organization, RoleMember may use it.
const (
	RoleOwner  Role = "owner"
	RoleMember Role = "member"
)

// Membership is a user's place in an organization.
type Membership struct {
	Organization Organization
	Role         Role
}

// maxEmail is the longest address that mail systems carry (RFC 5321).
const maxEmail = 254

func cleanEmail(email string) (string, error) {
	e := strings.ToLower(strings.TrimSpace(email))
	local, domain, ok := strings.Cut(e, "@")
	bad := strings.ContainsFunc(e, func(r rune) bool { return r <= ' ' || r == 0x7f || r == ',' || r == '<' || r == '>' })
	if !ok || local == "" || domain == "" || strings.Contains(domain, "@") || bad || len(e) > maxEmail {
		return "", mesh.Errorf(mesh.Invalid, "store: e-mail address %q is not of the form NAME@DOMAIN", email)
	}
	return e, nil
}

// CreateUser adds a person. A known e-mail address is a mesh.Conflict error.
func (s *Store) CreateUser(ctx context.Context, email, passwordHash string) (u User, err error) {
	err = s.write(ctx, "create user", func(tx *sql.Tx) error {
		u, err = insertUser(ctx, tx, email, passwordHash, s.opts.Now())
		return err
	})
	return u, err
}

func insertUser(ctx context.Context, tx *sql.Tx, email, passwordHash string, now time.Time) (User, error) {
	email, err := cleanEmail(email)
	if err != nil {
		return User{}, err
	}
	u := User{ID: newID(), Email: email, PasswordHash: passwordHash, Created: now}
	_, err = tx.ExecContext(ctx, `INSERT INTO users (id, email, password_hash, created) VALUES ($1, $2, $3, $4)`,
		u.ID, u.Email, u.PasswordHash, fromTime(u.Created))
	if isDuplicate(err) {
		return User{}, mesh.Errorf(mesh.Conflict, "store: user %s is there already", email)
	}
	return u, err
}

// UserByEmail finds a person; case does not matter.
func (s *Store) UserByEmail(ctx context.Context, email string) (u User, err error) {
	email = strings.ToLower(strings.TrimSpace(email))
	err = s.read(ctx, "find user", func(q queryer) error {
		var created int64
		err := q.QueryRowContext(ctx, `SELECT id, email, password_hash, created FROM users WHERE email = $1`, email).
			Scan(&u.ID, &u.Email, &u.PasswordHash, &created)
		u.Created = toTime(created)
		if isNoRow(err) {
			return mesh.Errorf(mesh.NotFound, "store: no user %s", email)
		}
		return err
	})
	return u, err
}

// SetPasswordHash replaces the password hash of a user.
func (s *Store) SetPasswordHash(ctx context.Context, userID, passwordHash string) error {
	return s.write(ctx, "set password", func(tx *sql.Tx) error {
		var id string
		err := tx.QueryRowContext(ctx, `UPDATE users SET password_hash = $2 WHERE id = $1 RETURNING id`, userID, passwordHash).Scan(&id)
		if isNoRow(err) {
			return mesh.Errorf(mesh.NotFound, "store: no user %s", userID)
		}
		return err
	})
}

// Memberships lists the organizations of a user, by name.
func (s *Store) Memberships(ctx context.Context, userID string) (ms []Membership, err error) {
	err = s.read(ctx, "list memberships", func(q queryer) error {
		ms, err = collect(ctx, q, func(scan func(...any) error) (m Membership, err error) {
			m.Organization, err = scanOrganization(func(dest ...any) error { return scan(append(dest, &m.Role)...) })
			return m, err
		}, `SELECT `+orgColumns+`, role FROM organizations
			JOIN (SELECT org, role FROM memberships WHERE user_id = $1) m ON m.org = id ORDER BY name`, userID)
		return err
	})
	return ms, err
}

// SetMembership gives a user a role in an organization.
func (s *Store) SetMembership(ctx context.Context, org mesh.OrgID, userID string, role Role) error {
	if role != RoleOwner && role != RoleMember {
		return mesh.Errorf(mesh.Invalid, "store: role %q is neither owner nor member", role)
	}
	return s.update(ctx, "set membership", org, func(t *Tx) error {
		var known int
		if err := t.tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM users WHERE id = $1`, userID).Scan(&known); err != nil {
			return err
		}
		if known == 0 {
			return mesh.Errorf(mesh.NotFound, "store: no user %s", userID)
		}
		t.wrote = true
		return insertMembership(ctx, t.tx, org, userID, role, t.now)
	})
}

func insertMembership(ctx context.Context, tx *sql.Tx, org mesh.OrgID, userID string, role Role, now time.Time) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO memberships (org, user_id, role, created) VALUES ($1, $2, $3, $4)
		ON CONFLICT (org, user_id) DO UPDATE SET role = excluded.role`, org, userID, role, fromTime(now))
	return err
}
