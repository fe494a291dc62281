package accounts

import (
	"context"
	"time"

	"nexd/mesh"
	"nexd/service/store/column"
	"nexd/service/store/engine"
	"nexd/service/store/txn"
)

// WebSession is a person's session on the web pages.
type WebSession struct {
	ID      string // no secret
	User    User
	Created time.Time
	Expires time.Time
}

// The prefixes of secrets, which say what a secret is for.
const (
	webPrefix     = "nxw_" // cookie of a web session
	tokenPrefix   = "nxt_" // API token
	invitePrefix  = "nxi_" // invitation
	setupPrefix   = "nxu_" // set-up link
	shownOfToken  = len(tokenPrefix) + 6
	tokenFreshFor = time.Minute // how often LastUsed is written
)

// CreateWebSession makes a session of a person, and its cookie. The store keeps only the
// SHA-256 of the cookie.
func (s *Store) CreateWebSession(ctx context.Context, userID string, life time.Duration) (cookie string, ws WebSession, err error) {
	if life <= 0 {
		return "", WebSession{}, mesh.Errorf(mesh.Invalid, "store: a session cannot have a lifetime of %v", life)
	}
	cookie = column.NewSecret(webPrefix)
	err = s.db.Write(ctx, "create web session", func(tx *txn.Tx) error {
		now := s.db.Now()
		ws = WebSession{ID: column.NewID(), Created: now, Expires: now.Add(life)}
		if ws.User, err = oneUser(ctx, tx, `id`, userID); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO web_sessions (hash, id, user_id, created, expires) VALUES ($1, $2, $3, $4, $5)`,
			column.Hash(cookie), ws.ID, userID, column.Time(now), column.Time(ws.Expires))
		return err
	})
	if err != nil {
		return "", WebSession{}, err
	}
	return cookie, ws, nil
}

// WebSession finds the session of a cookie. An unknown or expired cookie is mesh.Denied.
func (s *Store) WebSession(ctx context.Context, cookie string) (ws WebSession, err error) {
	want := column.Hash(cookie)
	err = s.db.Read(ctx, "find web session", func(q engine.Queryer) error {
		var hash, userID string
		var created, expires int64
		err := q.QueryRow(ctx, `SELECT hash, id, user_id, created, expires FROM web_sessions WHERE hash = $1`, want).
			Scan(&hash, &ws.ID, &userID, &created, &expires)
		ws.Created, ws.Expires = column.ParseTime(created), column.ParseTime(expires)
		if engine.IsNoRow(err) || err == nil && (!column.SameHash(hash, want) || !ws.Expires.After(s.db.Now())) {
			return mesh.Errorf(mesh.Denied, "store: unknown or expired session")
		}
		if err == nil {
			ws.User, err = oneUser(ctx, q, `id`, userID)
		}
		return err
	})
	if err != nil {
		return WebSession{}, err
	}
	return ws, nil
}

// DeleteWebSession ends the session of a cookie. An unknown cookie is no error.
func (s *Store) DeleteWebSession(ctx context.Context, cookie string) error {
	return s.db.Write(ctx, "delete web session", func(tx *txn.Tx) error {
		_, err := tx.Exec(ctx, `DELETE FROM web_sessions WHERE hash = $1`, column.Hash(cookie))
		return err
	})
}

// DeleteWebSessions ends every session of a person.
func (s *Store) DeleteWebSessions(ctx context.Context, userID string) error {
	return s.db.Write(ctx, "delete web sessions", func(tx *txn.Tx) error {
		_, err := tx.Exec(ctx, `DELETE FROM web_sessions WHERE user_id = $1`, userID)
		return err
	})
}
