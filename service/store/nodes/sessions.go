package nodes

import (
	"context"
	"time"

	"nexd/mesh"
	"nexd/service/store/column"
	"nexd/service/store/engine"
)

// Session lets a node call the service until it expires.
type Session struct {
	Org     mesh.OrgID
	Node    mesh.NodeID
	Expires time.Time
}

// sessionPrefix starts the text of every session token.
const sessionPrefix = "nxs_"

// CreateSession makes a session for a node, and its random token. The store keeps only
// the SHA-256 of the token.
func (s *Store) CreateSession(ctx context.Context, org mesh.OrgID, node mesh.NodeID, ttl time.Duration) (string, Session, error) {
	if ttl <= 0 {
		return "", Session{}, mesh.Errorf(mesh.Invalid, "store: a session cannot have a lifetime of %v", ttl)
	}
	token := column.NewSecret(sessionPrefix)
	var session Session
	err := s.update(ctx, "create session", org, func(t *Tx) error {
		if err := t.seen(ctx, node); err != nil {
			return err
		}
		session = Session{Org: org, Node: node, Expires: t.o.Now.Add(ttl)}
		_, err := t.o.Exec(ctx, `INSERT INTO sessions (hash, org, node, created, expires) VALUES ($1, $2, $3, $4, $5)`,
			column.Hash(token), org, node, column.Time(t.o.Now), column.Time(session.Expires))
		return err
	})
	if err != nil {
		return "", Session{}, err
	}
	return token, session, nil
}

// Session finds the session of a token. An unknown or expired token is a mesh.Denied
// error, and so is the token of a removed node.
func (s *Store) Session(ctx context.Context, token string) (found Session, err error) {
	want := column.Hash(token)
	err = s.db.Read(ctx, "find session", func(q engine.Queryer) error {
		var hash string
		var expires int64
		err := q.QueryRow(ctx, `SELECT hash, org, node, expires FROM sessions WHERE hash = $1`, want).
			Scan(&hash, &found.Org, &found.Node, &expires)
		found.Expires = column.ParseTime(expires)
		if engine.IsNoRow(err) || err == nil && (!column.SameHash(hash, want) || !found.Expires.After(s.db.Now())) {
			return mesh.Errorf(mesh.Denied, "store: unknown or expired session")
		}
		return err
	})
	if err != nil {
		return Session{}, err
	}
	return found, nil
}
