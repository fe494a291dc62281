package accounts

import (
	"context"
	"nexd/mesh"
	"nexd/service/store/column"
	"nexd/service/store/engine"
	"nexd/service/store/txn"
)

const metaSetup = "setup_hash"

// NewSetup makes the secret of the set-up link; the link before no longer works. If the
// database has users, it is a mesh.Conflict error.
func (s *Store) NewSetup(ctx context.Context) (secret string, err error) {
	secret = column.NewSecret(setupPrefix)
	err = s.db.Write(ctx, "make set-up link", func(tx *txn.Tx) error {
		if err := noUsers(ctx, tx); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO meta (name, value) VALUES ($1, $2)
			ON CONFLICT (name) DO UPDATE SET value = excluded.value`, metaSetup, column.Hash(secret))
		return err
	})
	if err != nil {
		return "", err
	}
	return secret, nil
}

func noUsers(ctx context.Context, q engine.Queryer) error {
	has, err := hasUsers(ctx, q)
	if err == nil && has {
		err = mesh.Errorf(mesh.Conflict, "store: the service is already set up; sign in, or ask for an invitation")
	}
	return err
}

// CheckSetup returns nil if secret is the secret of the set-up link, mesh.Denied if it
// is not, and mesh.Conflict if the database has users.
func (s *Store) CheckSetup(ctx context.Context, secret string) error {
	return s.db.Read(ctx, "check set-up link", func(q engine.Queryer) error { return checkSetup(ctx, q, secret) })
}

func checkSetup(ctx context.Context, q engine.Queryer, secret string) error {
	if err := noUsers(ctx, q); err != nil {
		return err
	}
	var hash string
	err := q.QueryRow(ctx, `SELECT value FROM meta WHERE name = $1`, metaSetup).Scan(&hash)
	if err != nil && !engine.IsNoRow(err) {
		return err
	}
	if engine.IsNoRow(err) || !column.SameHash(hash, column.Hash(secret)) {
		return mesh.Errorf(mesh.Denied, "store: this is not the set-up link that the service showed last on its console; a restart shows a new one")
	}
	return nil
}

func useSetup(ctx context.Context, tx *txn.Tx, secret string) error {
	if err := checkSetup(ctx, tx, secret); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `DELETE FROM meta WHERE name = $1`, metaSetup)
	return err
}
