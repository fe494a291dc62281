package accounts

import (
	"context"
	"time"

	"nexd/mesh"
	"nexd/service/store/column"
	"nexd/service/store/engine"
	"nexd/service/store/txn"
)

// APIToken is a person's stored API token. The store does not keep its text.
type APIToken struct {
	ID          string
	UserID      string
	Prefix      string // the first characters, for recognition
	Description string
	Scopes      string // words with blanks between them
	Created     time.Time
	Expires     time.Time
	LastUsed    time.Time
	Revoked     time.Time // zero = not revoked
}

// State is usable, expired or revoked.
func (t APIToken) State(now time.Time) string {
	switch {
	case !t.Revoked.IsZero():
		return "revoked"
	case !t.Expires.After(now):
		return "expired"
	}
	return "usable"
}

const tokenColumns = `id, user_id, prefix, description, scopes, created, expires, last_used, revoked`

func scanToken(scan txn.Scan) (t APIToken, err error) {
	var created, expires, used, revoked int64
	err = scan(&t.ID, &t.UserID, &t.Prefix, &t.Description, &t.Scopes, &created, &expires, &used, &revoked)
	t.Created, t.Expires, t.LastUsed, t.Revoked = column.ParseTime(created), column.ParseTime(expires), column.ParseTime(used), column.ParseTime(revoked)
	return t, err
}

// CreateAPIToken makes an API token of a person, and its text. The store keeps only the
// SHA-256 of the text.
func (s *Store) CreateAPIToken(ctx context.Context, userID, description, scopes string, life time.Duration) (t APIToken, text string, err error) {
	switch {
	case life <= 0:
		return APIToken{}, "", mesh.Errorf(mesh.Invalid, "store: an API token cannot have a lifetime of %v", life)
	case len(description) > column.MaxDescription:
		return APIToken{}, "", mesh.Errorf(mesh.Invalid, "store: a description of %d bytes is too long; the limit is %d", len(description), column.MaxDescription)
	}
	text = column.NewSecret(tokenPrefix)
	err = s.db.Write(ctx, "create API token", func(tx *txn.Tx) error {
		now := s.db.Now()
		u, err := oneUser(ctx, tx, `id`, userID)
		if err != nil {
			return err
		}
		t = APIToken{ID: column.NewID(), UserID: userID, Prefix: text[:shownOfToken], Description: column.Clip(description), Scopes: scopes, Created: now, Expires: now.Add(life)}
		_, err = tx.Exec(ctx, `INSERT INTO api_tokens (hash, id, user_id, prefix, description, scopes, created, expires)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`, column.Hash(text), t.ID, userID, t.Prefix, t.Description, scopes, column.Time(now), column.Time(t.Expires))
		if err != nil {
			return err
		}
		return tx.AuditPerson(ctx, "token.create", u.Email, nil,
			map[string]any{"id": t.ID, "scopes": scopes, "expires": t.Expires, "description": t.Description})
	})
	if err != nil {
		return APIToken{}, "", err
	}
	return t, text, nil
}

// APIToken finds a usable token, and its user, by the text. Every other token is
// mesh.Denied. It updates LastUsed at most once a minute.
func (s *Store) APIToken(ctx context.Context, text string) (t APIToken, u User, err error) {
	want := column.Hash(text)
	now := s.db.Now()
	err = s.db.Read(ctx, "find API token", func(q engine.Queryer) error {
		var hash string
		t, err = scanToken(func(dest ...any) error {
			return q.QueryRow(ctx, `SELECT `+tokenColumns+`, hash FROM api_tokens WHERE hash = $1`, want).Scan(append(dest, &hash)...)
		})
		if engine.IsNoRow(err) || err == nil && (!column.SameHash(hash, want) || t.State(now) != "usable") {
			return mesh.Errorf(mesh.Denied, "store: unknown, expired or revoked API token")
		}
		if err == nil {
			u, err = oneUser(ctx, q, `id`, t.UserID)
		}
		return err
	})
	if err != nil {
		return APIToken{}, User{}, err
	}
	if now.Sub(t.LastUsed) < tokenFreshFor {
		return t, u, nil
	}
	err = s.db.Write(ctx, "note use of an API token", func(tx *txn.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE api_tokens SET last_used = $2 WHERE hash = $1`, want, column.Time(now))
		return err
	})
	return t, u, err
}

// APITokens lists the tokens of a person, newest first.
func (s *Store) APITokens(ctx context.Context, userID string) (ts []APIToken, err error) {
	err = s.db.Read(ctx, "list API tokens", func(q engine.Queryer) error {
		ts, err = txn.Collect(ctx, q, scanToken, `SELECT `+tokenColumns+` FROM api_tokens WHERE user_id = $1 ORDER BY created DESC, id`, userID)
		return err
	})
	return ts, err
}

// RevokeAPIToken revokes a token of a person. A revoked token stays as it is.
func (s *Store) RevokeAPIToken(ctx context.Context, userID, id string) (t APIToken, err error) {
	err = s.db.Write(ctx, "revoke API token", func(tx *txn.Tx) error {
		t, err = scanToken(tx.QueryRow(ctx, `SELECT `+tokenColumns+` FROM api_tokens WHERE user_id = $1 AND id = $2`, userID, id).Scan)
		if engine.IsNoRow(err) {
			return mesh.Errorf(mesh.NotFound, "store: no API token has this ID")
		}
		if err != nil || !t.Revoked.IsZero() {
			return err
		}
		u, err := oneUser(ctx, tx, `id`, userID)
		if err != nil {
			return err
		}
		t.Revoked = s.db.Now()
		if err := txn.ChangedOne(tx.Exec(ctx, `UPDATE api_tokens SET revoked = $3 WHERE user_id = $1 AND id = $2`, userID, id, column.Time(t.Revoked))); err != nil {
			return err
		}
		return tx.AuditPerson(ctx, "token.revoke", u.Email,
			map[string]any{"id": id, "scopes": t.Scopes, "expires": t.Expires, "description": t.Description}, map[string]any{"revoked": t.Revoked})
	})
	return t, err
}
