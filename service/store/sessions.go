package store

import (
	"context"
	"time"

	"nexd/mesh"
)

// Session is a node's right to call the service for a while.
type Session struct {
	Org     mesh.OrgID
	Node    mesh.NodeID
	Expires time.Time
}

// CreateSession makes a session for a node and the random token for it, of which
// the store keeps the SHA-256.
func (s *Store) CreateSession(ctx context.Context, org mesh.OrgID, node mesh.NodeID, ttl time.Duration) (token string, _ Session, _ error) {
	return "", Session{}, errNotYet
}

// Session finds the session of a token. An unknown or expired one is a
// mesh.Denied error, also after its node was removed.
func (s *Store) Session(ctx context.Context, token string) (Session, error) {
	return Session{}, errNotYet
}

// DeleteSession ends the session of a token; an unknown one is no error.
func (s *Store) DeleteSession(ctx context.Context, token string) error { return errNotYet }

// Purge removes expired sessions and says how many. To be called now and then.
func (s *Store) Purge(ctx context.Context) (int, error) { return 0, errNotYet }
