package store

import (
	"context"
	"time"

	"nexd/mesh"
	"nexd/service/store/engine"
)

// WebSession is a person's session of the pages.
type WebSession struct {
	ID      string // no secret
	User    User
	Created time.Time
	Expires time.Time
}

// Secrets of people begin with these.
const (
	webPrefix        = "nxw_" // cookie of a web session
	tokenPrefix      = "nxt_" // API token
	invitePrefix     = "nxi_" // invitation
	deviceCodePrefix = "nxd_" // device code
	setupPrefix      = "nxu_" // set-up link
	shownOfToken     = len(tokenPrefix) + 6
	tokenFreshFor    = time.Minute // how exact LastUsed is
)

// CreateWebSession makes a session of a person and the cookie for it, of which the
// store keeps the SHA-256.
func (s *Store) CreateWebSession(ctx context.Context, userID string, life time.Duration) (cookie string, ws WebSession, err error) {
	if life <= 0 {
		return "", WebSession{}, mesh.Errorf(mesh.Invalid, "store: a session that lives for %v", life)
	}
	cookie = newSecret(webPrefix)
	err = s.write(ctx, "create web session", func(tx engine.Tx) error {
		now := s.opts.Now()
		ws = WebSession{ID: newID(), Created: now, Expires: now.Add(life)}
		if ws.User, err = oneUser(ctx, tx, `id`, userID); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO web_sessions (hash, id, user_id, created, expires) VALUES ($1, $2, $3, $4, $5)`,
			hashSecret(cookie), ws.ID, userID, fromTime(now), fromTime(ws.Expires))
		return err
	})
	if err != nil {
		return "", WebSession{}, err
	}
	return cookie, ws, nil
}

// WebSession finds the session of a cookie; an unknown or expired one is mesh.Denied.
func (s *Store) WebSession(ctx context.Context, cookie string) (ws WebSession, err error) {
	want := hashSecret(cookie)
	err = s.read(ctx, "find web session", func(q engine.Queryer) error {
		var hash, userID string
		var created, expires int64
		err := q.QueryRow(ctx, `SELECT hash, id, user_id, created, expires FROM web_sessions WHERE hash = $1`, want).
			Scan(&hash, &ws.ID, &userID, &created, &expires)
		ws.Created, ws.Expires = toTime(created), toTime(expires)
		if isNoRow(err) || err == nil && (!sameHash(hash, want) || !ws.Expires.After(s.opts.Now())) {
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

// DeleteWebSession ends the session of a cookie; an unknown one is no error.
func (s *Store) DeleteWebSession(ctx context.Context, cookie string) error {
	return s.write(ctx, "delete web session", func(tx engine.Tx) error {
		_, err := tx.Exec(ctx, `DELETE FROM web_sessions WHERE hash = $1`, hashSecret(cookie))
		return err
	})
}

// DeleteWebSessions ends every session of a person.
func (s *Store) DeleteWebSessions(ctx context.Context, userID string) error {
	return s.write(ctx, "delete web sessions", func(tx engine.Tx) error {
		_, err := tx.Exec(ctx, `DELETE FROM web_sessions WHERE user_id = $1`, userID)
		return err
	})
}
