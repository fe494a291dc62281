package store

import (
	"context"

	"nexd/mesh"
)

// Tx is a transaction that holds one organization: nobody else changes it
// meanwhile. It is the ipam.Ledger of that organization.
type Tx struct {
	org Organization
}

// Update locks the organization's row, runs fn and commits; an error of fn rolls
// all back and is returned as it is. If fn changed what the network map shows,
// the revision rises by one in the same transaction. fn may be run only once and
// must not keep the Tx.
func (s *Store) Update(ctx context.Context, org mesh.OrgID, fn func(*Tx) error) error {
	return errNotYet
}

// Organization is the one that the transaction holds.
func (t *Tx) Organization() Organization { return t.org }
