package store

import (
	"context"
	"time"

	"nexd/mesh"
	"nexd/service/store/engine"
)

// Session is a node's right to call the service for a while.
type Session struct {
	Org     mesh.OrgID
	Node    mesh.NodeID
	Expires time.Time
}

// sessionPrefix starts the text of every session token.
const sessionPrefix = "nxs_"

// CreateSession makes a session for a node and the random token for it, of which
// the store keeps the SHA-256.
func (s *Store) CreateSession(ctx context.Context, org mesh.OrgID, node mesh.NodeID, ttl time.Duration) (string, Session, error) {
	if ttl <= 0 {
		return "", Session{}, mesh.Errorf(mesh.Invalid, "store: a session that lives for %v", ttl)
	}
	token := newSecret(sessionPrefix)
	var session Session
	err := s.update(ctx, "create session", org, func(t *Tx) error {
		if err := t.seen(ctx, node); err != nil {
			return err
		}
		session = Session{Org: org, Node: node, Expires: t.now.Add(ttl)}
		_, err := t.exec(ctx, `INSERT INTO sessions (hash, org, node, created, expires) VALUES ($1, $2, $3, $4, $5)`,
			hashSecret(token), org, node, fromTime(t.now), fromTime(session.Expires))
		return err
	})
	if err != nil {
		return "", Session{}, err
	}
	return token, session, nil
}

// Session finds the session of a token. An unknown or expired one is a
// mesh.Denied error, also after its node was removed.
func (s *Store) Session(ctx context.Context, token string) (found Session, err error) {
	want := hashSecret(token)
	err = s.read(ctx, "find session", func(q engine.Queryer) error {
		var hash string
		var expires int64
		err := q.QueryRow(ctx, `SELECT hash, org, node, expires FROM sessions WHERE hash = $1`, want).
			Scan(&hash, &found.Org, &found.Node, &expires)
		found.Expires = toTime(expires)
		if isNoRow(err) || err == nil && (!sameHash(hash, want) || !found.Expires.After(s.opts.Now())) {
			return mesh.Errorf(mesh.Denied, "store: unknown or expired session")
		}
		return err
	})
	if err != nil {
		return Session{}, err
	}
	return found, nil
}

// DeleteSession ends the session of a token; an unknown one is no error.
func (s *Store) DeleteSession(ctx context.Context, token string) error {
	return s.write(ctx, "delete session", func(tx engine.Tx) error {
		_, err := tx.Exec(ctx, `DELETE FROM sessions WHERE hash = $1`, hashSecret(token))
		return err
	})
}

// Purge removes expired sessions, of nodes and of people, ended device logins and
// budgets that are whole again, and says how many. To be called now and then.
func (s *Store) Purge(ctx context.Context) (n int, err error) {
	err = s.write(ctx, "purge sessions", func(tx engine.Tx) error {
		n = 0
		now := fromTime(s.opts.Now())
		for _, query := range []string{
			`DELETE FROM sessions WHERE expires <= $1`,
			`DELETE FROM web_sessions WHERE expires <= $1`,
			`DELETE FROM device_logins WHERE expires <= $1`,
			`DELETE FROM budgets WHERE spent <= $1`,
		} {
			gone, err := tx.Exec(ctx, query, now)
			if err != nil {
				return err
			}
			n += int(gone)
		}
		return nil
	})
	return n, err
}
