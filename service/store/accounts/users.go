package accounts

import (
	"context"
	"strings"
	"time"
	"unicode"

	"nexd/mesh"
	"nexd/service/store/column"
	"nexd/service/store/engine"
	"nexd/service/store/txn"
)

// User is a person who may sign in.
type User struct {
	ID           string
	Email        string // lower case
	Name         string // may be empty
	PasswordHash string // made by package people; empty: signs in at an identity provider only
	DefaultOrg   mesh.OrgID
	Created      time.Time
}

// maxEmail is the longest address that mail systems carry (RFC 5321).
const maxEmail = 254

func cleanEmail(email string) (string, error) {
	e := strings.ToLower(strings.TrimSpace(email))
	local, domain, ok := strings.Cut(e, "@")
	bad := strings.ContainsFunc(e, func(r rune) bool {
		return unicode.IsSpace(r) || column.Invisible(r) || r == ',' || r == '<' || r == '>'
	})
	if !ok || local == "" || domain == "" || strings.Contains(domain, "@") || bad || len(e) > maxEmail {
		return "", mesh.Errorf(mesh.Invalid, "store: e-mail address %q is not of the form NAME@DOMAIN", email)
	}
	return e, nil
}

// InsertUser adds a person with the Email, Name and PasswordHash of u. An e-mail
// address that is in use is a mesh.Conflict error.
func InsertUser(ctx context.Context, tx *txn.Tx, u User) (User, error) {
	email, err := cleanEmail(u.Email)
	if err != nil {
		return User{}, err
	}
	u = User{ID: column.NewID(), Email: email, Name: column.Clip(u.Name), PasswordHash: u.PasswordHash, Created: tx.Now}
	_, err = tx.Exec(ctx, `INSERT INTO users (id, email, name, password_hash, created) VALUES ($1, $2, $3, $4, $5)`,
		u.ID, u.Email, u.Name, u.PasswordHash, column.Time(u.Created))
	if engine.IsDuplicate(err) {
		return User{}, mesh.Errorf(mesh.Conflict, "store: user %s already exists", email)
	}
	if err != nil {
		return User{}, err
	}
	return u, tx.AuditPerson(ctx, "user.create", u.Email, nil, map[string]string{"name": u.Name})
}

const userColumns = `users.id, users.email, users.name, users.password_hash, users.default_org, users.created`

func scanUser(scan txn.Scan) (u User, err error) {
	var created int64
	err = scan(&u.ID, &u.Email, &u.Name, &u.PasswordHash, &u.DefaultOrg, &created)
	u.Created = column.ParseTime(created)
	return u, err
}

func oneUser(ctx context.Context, q engine.Queryer, column, value string) (User, error) {
	u, err := scanUser(q.QueryRow(ctx, `SELECT `+userColumns+` FROM users WHERE `+column+` = $1`, value).Scan)
	if engine.IsNoRow(err) {
		return User{}, mesh.Errorf(mesh.NotFound, "store: no user %s", value)
	}
	return u, err
}

// UserByEmail finds a person; case does not matter.
func (s *Store) UserByEmail(ctx context.Context, email string) (u User, err error) {
	email = strings.ToLower(strings.TrimSpace(email))
	err = s.db.Read(ctx, "find user", func(q engine.Queryer) error {
		u, err = oneUser(ctx, q, `email`, email)
		return err
	})
	return u, err
}

// User finds a person by ID.
func (s *Store) User(ctx context.Context, id string) (u User, err error) {
	err = s.db.Read(ctx, "find user", func(q engine.Queryer) error {
		u, err = oneUser(ctx, q, `id`, id)
		return err
	})
	return u, err
}

// UserByIdentity finds a person by their identity at a provider.
func (s *Store) UserByIdentity(ctx context.Context, issuer, subject string) (u User, err error) {
	err = s.db.Read(ctx, "find user", func(q engine.Queryer) error {
		u, err = scanUser(q.QueryRow(ctx, `SELECT `+userColumns+` FROM users
			JOIN identities i ON i.user_id = users.id WHERE i.issuer = $1 AND i.subject = $2`, issuer, subject).Scan)
		if engine.IsNoRow(err) {
			return mesh.Errorf(mesh.NotFound, "store: no user has this identity")
		}
		return err
	})
	return u, err
}

// Users lists all people by e-mail address.
func (s *Store) Users(ctx context.Context) (us []User, err error) {
	err = s.db.Read(ctx, "list users", func(q engine.Queryer) error {
		us, err = txn.Collect(ctx, q, scanUser, `SELECT `+userColumns+` FROM users ORDER BY email`)
		return err
	})
	return us, err
}

// HasUsers reports whether the database has a user.
func (s *Store) HasUsers(ctx context.Context) (has bool, err error) {
	err = s.db.Read(ctx, "count users", func(q engine.Queryer) error {
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
	return s.db.Write(ctx, "set password", func(tx *txn.Tx) error {
		var email string
		err := tx.QueryRow(ctx, `UPDATE users SET password_hash = $2 WHERE id = $1 RETURNING email`, userID, passwordHash).Scan(&email)
		if engine.IsNoRow(err) {
			return mesh.Errorf(mesh.NotFound, "store: no user %s", userID)
		}
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM web_sessions WHERE user_id = $1`, userID); err != nil {
			return err
		}
		return tx.AuditPerson(ctx, "user.password", email, nil, nil)
	})
}

// RemoveUser removes a user with their memberships, sessions, API tokens, identities and
// open invitations. Nodes that the user approved, and registration keys, stay. Removing
// the last owner of an organization with other members is a mesh.Conflict error; an
// organization without other members stays without people. RemoveUser returns the
// memberships that it ended.
func (s *Store) RemoveUser(ctx context.Context, userID string) (ms []Membership, err error) {
	err = s.db.Write(ctx, "remove user", func(tx *txn.Tx) error {
		u, err := oneUser(ctx, tx, `id`, userID)
		if err != nil {
			return err
		}
		if ms, err = memberships(ctx, tx, userID); err != nil {
			return err
		}
		was := map[string]mesh.Role{}
		for _, m := range ms {
			if err := leave(ctx, tx, m.Organization.ID, userID); err != nil {
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
		return tx.AuditPerson(ctx, "user.remove", u.Email, map[string]any{"name": u.Name, "organizations": was}, nil)
	})
	if err != nil {
		return nil, err
	}
	return ms, nil
}

// leave ends a membership unless the other members would be left without an owner.
func leave(ctx context.Context, tx *txn.Tx, org mesh.OrgID, userID string) error {
	o, err := tx.Lock(ctx, org)
	if err != nil {
		return err
	}
	m, err := member(ctx, o, userID)
	if err != nil {
		return err
	}
	var others int
	if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM memberships WHERE org = $1 AND user_id <> $2`, org, userID).Scan(&others); err != nil {
		return err
	}
	if others > 0 {
		if err := keepOwner(ctx, o, m); err != nil {
			return err
		}
	}
	return dropMember(ctx, o, m)
}
