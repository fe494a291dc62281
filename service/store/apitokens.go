package store

import (
	"context"
	"time"

	"nexd/mesh"
	"nexd/service/store/engine"
)

const tokenColumns = `id, user_id, prefix, description, scopes, created, expires, last_used, revoked`

func scanToken(scan func(...any) error) (t APIToken, err error) {
	var created, expires, used, revoked int64
	err = scan(&t.ID, &t.UserID, &t.Prefix, &t.Description, &t.Scopes, &created, &expires, &used, &revoked)
	t.Created, t.Expires, t.LastUsed, t.Revoked = toTime(created), toTime(expires), toTime(used), toTime(revoked)
	return t, err
}

// CreateAPIToken makes an API token of a person and its text, of which the store
// keeps the SHA-256.
func (s *Store) CreateAPIToken(ctx context.Context, userID, description, scopes string, life time.Duration) (t APIToken, text string, err error) {
	switch {
	case life <= 0:
		return APIToken{}, "", mesh.Errorf(mesh.Invalid, "store: an API token that lives for %v", life)
	case len(description) > maxDescription:
		return APIToken{}, "", mesh.Errorf(mesh.Invalid, "store: a description of %d bytes is too long; %d fit", len(description), maxDescription)
	}
	text = newSecret(tokenPrefix)
	err = s.write(ctx, "create API token", func(tx engine.Tx) error {
		now := s.opts.Now()
		u, err := oneUser(ctx, tx, `id`, userID)
		if err != nil {
			return err
		}
		t = APIToken{ID: newID(), UserID: userID, Prefix: text[:shownOfToken], Description: clip(description), Scopes: scopes, Created: now, Expires: now.Add(life)}
		_, err = tx.Exec(ctx, `INSERT INTO api_tokens (hash, id, user_id, prefix, description, scopes, created, expires)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`, hashSecret(text), t.ID, userID, t.Prefix, t.Description, scopes, fromTime(now), fromTime(t.Expires))
		if err != nil {
			return err
		}
		return writeAudit(ctx, tx, "", now, "token.create", u.Email, nil,
			map[string]any{"id": t.ID, "scopes": scopes, "expires": t.Expires, "description": t.Description})
	})
	if err != nil {
		return APIToken{}, "", err
	}
	return t, text, nil
}

// APIToken finds a usable token and its person by its text; others are
// mesh.Denied. It notes the use, to about a minute.
func (s *Store) APIToken(ctx context.Context, text string) (t APIToken, u User, err error) {
	want := hashSecret(text)
	now := s.opts.Now()
	err = s.read(ctx, "find API token", func(q engine.Queryer) error {
		var hash string
		t, err = scanToken(func(dest ...any) error {
			return q.QueryRow(ctx, `SELECT `+tokenColumns+`, hash FROM api_tokens WHERE hash = $1`, want).Scan(append(dest, &hash)...)
		})
		if isNoRow(err) || err == nil && (!sameHash(hash, want) || t.State(now) != "usable") {
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
	err = s.write(ctx, "note use of an API token", func(tx engine.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE api_tokens SET last_used = $2 WHERE hash = $1`, want, fromTime(now))
		return err
	})
	return t, u, err
}

// APITokens lists the tokens of a person, newest first.
func (s *Store) APITokens(ctx context.Context, userID string) (ts []APIToken, err error) {
	err = s.read(ctx, "list API tokens", func(q engine.Queryer) error {
		ts, err = collect(ctx, q, scanToken, `SELECT `+tokenColumns+` FROM api_tokens WHERE user_id = $1 ORDER BY created DESC, id`, userID)
		return err
	})
	return ts, err
}

// RevokeAPIToken ends a token of a person. One revoked before stays as it is.
func (s *Store) RevokeAPIToken(ctx context.Context, userID, id string) (t APIToken, err error) {
	err = s.write(ctx, "revoke API token", func(tx engine.Tx) error {
		t, err = scanToken(tx.QueryRow(ctx, `SELECT `+tokenColumns+` FROM api_tokens WHERE user_id = $1 AND id = $2`, userID, id).Scan)
		if isNoRow(err) {
			return mesh.Errorf(mesh.NotFound, "store: no API token of that ID")
		}
		if err != nil || !t.Revoked.IsZero() {
			return err
		}
		u, err := oneUser(ctx, tx, `id`, userID)
		if err != nil {
			return err
		}
		t.Revoked = s.opts.Now()
		if err := changedOne(tx.Exec(ctx, `UPDATE api_tokens SET revoked = $3 WHERE user_id = $1 AND id = $2`, userID, id, fromTime(t.Revoked))); err != nil {
			return err
		}
		return writeAudit(ctx, tx, "", t.Revoked, "token.revoke", u.Email,
			map[string]any{"id": id, "scopes": t.Scopes, "expires": t.Expires, "description": t.Description}, map[string]any{"revoked": t.Revoked})
	})
	return t, err
}
