package nodes

import (
	"context"
	"time"

	"nexd/ipam"
	"nexd/mesh"
	"nexd/service/store/txn"
)

// Store keeps organizations and their nodes in a database.
type Store struct {
	db   *txn.DB
	rest time.Duration
}

// New makes a Store over a database. A released address stays unused for rest.
func New(db *txn.DB, rest time.Duration) *Store { return &Store{db: db, rest: rest} }

// Tx is a transaction that holds one organization: no other transaction changes it
// meanwhile. It is the ipam.Ledger of the organization.
type Tx struct {
	o    *txn.Org
	rest time.Duration
}

// Update locks the organization's row, runs fn and commits. An error of fn rolls
// everything back and is returned, wrapped if it has no kind. If fn changed what the
// network map shows, the revision rises by one in the same transaction. fn must not
// keep the Tx, and must not call the Store: that would wait for this transaction. An
// engine may roll back and run fn again.
func (s *Store) Update(ctx context.Context, org mesh.OrgID, fn func(*Tx) error) error {
	return s.update(ctx, "update organization", org, fn)
}

func (s *Store) update(ctx context.Context, what string, org mesh.OrgID, fn func(*Tx) error) error {
	return s.db.Update(ctx, what, org, func(o *txn.Org) error { return fn(&Tx{o: o, rest: s.rest}) })
}

// IPAM applies the rules of addresses and prefixes to this organization.
func (t *Tx) IPAM() *ipam.Allocator {
	return ipam.New(t, ipam.Config{Organization: t.o.Name, Pools: t.o.Pools(), Rest: t.rest})
}

// auditNode writes an audit row. If the actor is a node, it is the node with the
// name.
func (t *Tx) auditNode(ctx context.Context, name, action, target string, before, after any) error {
	if a := txn.ActorOf(ctx); a.UserID == "" && a.Via == "node" {
		a.Name = "node " + name
		ctx = txn.WithActor(ctx, a)
	}
	return t.o.Audit(ctx, action, target, before, after)
}
