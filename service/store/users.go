package store

import (
	"context"
	"strings"
	"time"
	"unicode"

	"nexd/mesh"
	"nexd/service/store/engine"
)

// User is a person who may sign in.
type User struct {
	ID           string
	Email        string // lower case
	Name         string // as they call themselves; may be empty
	PasswordHash string // opaque here; empty: signs in at the identity provider only
	DefaultOrg   mesh.OrgID
	Created      time.Time
}

// Membership is a user's place in an organization.
type Membership struct {
	Organization Organization
	Role         mesh.Role
}

// maxEmail is the longest address that mail systems carry (RFC 5321).
const maxEmail = 254

func cleanEmail(email string) (string, error) {
	e := strings.ToLower(strings.TrimSpace(email))
	local, domain, ok := strings.Cut(e, "@")
	bad := strings.ContainsFunc(e, func(r rune) bool { return unicode.IsSpace(r) || hidden(r) || r == ',' || r == '<' || r == '>' })
	if !ok || local == "" || domain == "" || strings.Contains(domain, "@") || bad || len(e) > maxEmail {
		return "", mesh.Errorf(mesh.Invalid, "store: e-mail address %q is not of the form NAME@DOMAIN", email)
	}
	return e, nil
}

// CreateUser adds a person. A known e-mail address is a mesh.Conflict error.
func (s *Store) CreateUser(ctx context.Context, email, passwordHash string) (u User, err error) {
	err = s.write(ctx, "create user", func(tx engine.Tx) error {
		u, err = insertUser(ctx, tx, User{Email: email, PasswordHash: passwordHash}, s.opts.Now())
		return err
	})
	return u, err
}

// insertUser adds a person with Email, Name and PasswordHash of u.
func insertUser(ctx context.Context, tx engine.Tx, u User, now time.Time) (User, error) {
	email, err := cleanEmail(u.Email)
	if err != nil {
		return User{}, err
	}
	u = User{ID: newID(), Email: email, Name: clip(u.Name), PasswordHash: u.PasswordHash, Created: now}
	_, err = tx.Exec(ctx, `INSERT INTO users (id, email, name, password_hash, created) VALUES ($1, $2, $3, $4, $5)`,
		u.ID, u.Email, u.Name, u.PasswordHash, fromTime(u.Created))
	if isDuplicate(err) {
		return User{}, mesh.Errorf(mesh.Conflict, "store: user %s is there already", email)
	}
	if err != nil {
		return User{}, err
	}
	return u, writeAudit(ctx, tx, "", now, "user.create", u.Email, nil, map[string]string{"name": u.Name})
}

const userColumns = `users.id, users.email, users.name, users.password_hash, users.default_org, users.created`

func scanUser(scan func(...any) error) (u User, err error) {
	var created int64
	err = scan(&u.ID, &u.Email, &u.Name, &u.PasswordHash, &u.DefaultOrg, &created)
	u.Created = toTime(created)
	return u, err
}

func oneUser(ctx context.Context, q engine.Queryer, column, value string) (User, error) {
	u, err := scanUser(q.QueryRow(ctx, `SELECT `+userColumns+` FROM users WHERE `+column+` = $1`, value).Scan)
	if isNoRow(err) {
		return User{}, mesh.Errorf(mesh.NotFound, "store: no user %s", value)
	}
	return u, err
}

// UserByEmail finds a person; case does not matter.
func (s *Store) UserByEmail(ctx context.Context, email string) (u User, err error) {
	email = strings.ToLower(strings.TrimSpace(email))
	err = s.read(ctx, "find user", func(q engine.Queryer) error {
		u, err = oneUser(ctx, q, `email`, email)
		return err
	})
	return u, err
}

// User finds a person by ID.
func (s *Store) User(ctx context.Context, id string) (u User, err error) {
	err = s.read(ctx, "find user", func(q engine.Queryer) error {
		u, err = oneUser(ctx, q, `id`, id)
		return err
	})
	return u, err
}

// UserByIdentity finds a person by what an identity provider calls them.
func (s *Store) UserByIdentity(ctx context.Context, issuer, subject string) (u User, err error) {
	err = s.read(ctx, "find user", func(q engine.Queryer) error {
		u, err = scanUser(q.QueryRow(ctx, `SELECT `+userColumns+` FROM users
			JOIN identities i ON i.user_id = users.id WHERE i.issuer = $1 AND i.subject = $2`, issuer, subject).Scan)
		if isNoRow(err) {
			return mesh.Errorf(mesh.NotFound, "store: nobody has this identity")
		}
		return err
	})
	return u, err
}

// Users lists all people by e-mail address.
func (s *Store) Users(ctx context.Context) (us []User, err error) {
	err = s.read(ctx, "list users", func(q engine.Queryer) error {
		us, err = collect(ctx, q, scanUser, `SELECT `+userColumns+` FROM users ORDER BY email`)
		return err
	})
	return us, err
}

// HasUsers says whether there is anybody.
func (s *Store) HasUsers(ctx context.Context) (has bool, err error) {
	err = s.read(ctx, "count users", func(q engine.Queryer) error {
		has, err = hasUsers(ctx, q)
		return err
	})
	return has, err
}

func hasUsers(ctx context.Context, q engine.Queryer) (bool, error) {
	var n int
	err := q.QueryRow(ctx, `SELECT COUNT(*) FROM (SELECT id FROM users LIMIT 1) u`).Scan(&n)
	return n > 0, err
}

// SetPasswordHash replaces the password hash of a user and ends the person's web
// sessions.
func (s *Store) SetPasswordHash(ctx context.Context, userID, passwordHash string) error {
	return s.write(ctx, "set password", func(tx engine.Tx) error {
		var email string
		err := tx.QueryRow(ctx, `UPDATE users SET password_hash = $2 WHERE id = $1 RETURNING email`, userID, passwordHash).Scan(&email)
		if isNoRow(err) {
			return mesh.Errorf(mesh.NotFound, "store: no user %s", userID)
		}
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM web_sessions WHERE user_id = $1`, userID); err != nil {
			return err
		}
		return writeAudit(ctx, tx, "", s.opts.Now(), "user.password", email, nil, nil)
	})
}

// Memberships lists the organizations of a user, by name.
func (s *Store) Memberships(ctx context.Context, userID string) (ms []Membership, err error) {
	err = s.read(ctx, "list memberships", func(q engine.Queryer) error {
		ms, err = memberships(ctx, q, userID)
		return err
	})
	return ms, err
}

func memberships(ctx context.Context, q engine.Queryer, userID string) ([]Membership, error) {
	return collect(ctx, q, func(scan func(...any) error) (m Membership, err error) {
		m.Organization, err = scanOrganization(func(dest ...any) error { return scan(append(dest, &m.Role)...) })
		return m, err
	}, `SELECT `+orgColumns+`, role FROM organizations
		JOIN (SELECT org, role FROM memberships WHERE user_id = $1) m ON m.org = id ORDER BY name`, userID)
}
