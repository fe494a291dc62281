package store

import (
	"context"
	"time"

	"nexd/ipam"
	"nexd/mesh"
	"nexd/service/store/engine"
)

// Tx is a transaction that holds one organization: nobody else changes it
// meanwhile. It is the ipam.Ledger of that organization.
type Tx struct {
	tx   engine.Tx
	org  Organization
	now  time.Time
	rest time.Duration

	shown     bool // the network map shows it
	endpoints bool // the endpoints changed
}

// Update locks the organization's row, runs fn and commits; an error of fn rolls
// all back and is returned, wrapped if it has no kind. If fn changed what the network map shows,
// the revision rises by one in the same transaction. fn must not keep the Tx nor
// call the Store, which would wait for itself.
func (s *Store) Update(ctx context.Context, org mesh.OrgID, fn func(*Tx) error) error {
	return s.update(ctx, "update organization", org, fn)
}

func (s *Store) update(ctx context.Context, what string, org mesh.OrgID, fn func(*Tx) error) error {
	changed := false
	err := s.write(ctx, what, func(tx engine.Tx) error {
		t, err := s.lock(ctx, tx, org)
		if err != nil {
			return err
		}
		if err := fn(t); err != nil {
			return err
		}
		changed = t.shown || t.endpoints
		return t.raise(ctx)
	})
	if err == nil && changed {
		s.opts.OnCommit(org)
	}
	return err
}

// lock locks an organization's row until the end of the transaction.
func (s *Store) lock(ctx context.Context, tx engine.Tx, org mesh.OrgID) (*Tx, error) {
	o, err := scanOrganization(tx.QueryRowLocked(ctx, `SELECT `+orgColumns+` FROM organizations WHERE id = $1`, org).Scan)
	if err != nil {
		return nil, orgNotFound(err, string(org))
	}
	return &Tx{tx: tx, org: o, now: s.opts.Now(), rest: s.opts.AddressRest}, nil
}

// raise counts what has changed.
func (t *Tx) raise(ctx context.Context) error {
	if t.shown {
		if err := changedOne(t.tx.Exec(ctx, `UPDATE organizations SET rev = rev + 1 WHERE id = $1`, t.org.ID)); err != nil {
			return err
		}
	}
	if t.endpoints {
		return changedOne(t.tx.Exec(ctx, `UPDATE endpoint_revs SET rev = rev + 1 WHERE org = $1`, t.org.ID))
	}
	return nil
}

// Organization is the one that the transaction holds.
func (t *Tx) Organization() Organization { return t.org }

// Now is the transaction's time: one for all that it does.
func (t *Tx) Now() time.Time { return t.now }

// IPAM applies the rules of addresses and prefixes to this organization.
func (t *Tx) IPAM() *ipam.Allocator {
	return ipam.New(t, ipam.Config{Organization: t.org.Name, Pools: t.org.Pools(), Rest: t.rest})
}

// exec runs a statement that changes something the network map does not show.
func (t *Tx) exec(ctx context.Context, query string, args ...any) (int64, error) {
	return t.tx.Exec(ctx, query, args...)
}

// execShown runs a statement that changes the network map.
func (t *Tx) execShown(ctx context.Context, query string, args ...any) (int64, error) {
	t.shown = true
	return t.exec(ctx, query, args...)
}
