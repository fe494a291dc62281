package txn

import (
	"context"
	"fmt"
	"time"

	"nexd/mesh"
	"nexd/service/store/engine"
)

// DB is an open database. Its methods may be called from many goroutines.
type DB struct {
	engine   engine.Engine
	now      func() time.Time
	onCommit func(mesh.OrgID)
}

// New makes a DB of an engine. onCommit is called after every commit that raised a
// counter of an organization, with nothing locked.
func New(e engine.Engine, now func() time.Time, onCommit func(mesh.OrgID)) *DB {
	return &DB{engine: e, now: now, onCommit: onCommit}
}

// Name is the database's name in messages.
func (db *DB) Name() string { return db.engine.Name() }

// Now is the time.
func (db *DB) Now() time.Time { return db.now() }

// Close closes the database.
func (db *DB) Close() error { return Failure("close", db.engine.Close()) }

// Read runs fn in a transaction that cannot write. what names it in errors.
func (db *DB) Read(ctx context.Context, what string, fn func(engine.Queryer) error) error {
	return Failure(what, db.engine.Read(ctx, fn))
}

// Tx is a transaction that writes. All that it does has one time.
type Tx struct {
	engine.Tx
	Now    time.Time
	locked []*Org
}

// Write runs fn in a transaction and commits what it did, unless it returns an
// error. what names the transaction in errors. fn must not keep the Tx, and must not
// use the DB: that would wait for this transaction.
func (db *DB) Write(ctx context.Context, what string, fn func(*Tx) error) error {
	var tx *Tx
	err := db.engine.Write(ctx, func(etx engine.Tx) error {
		tx = &Tx{Tx: etx, Now: db.now()}
		if err := fn(tx); err != nil {
			return err
		}
		for _, o := range tx.locked {
			if err := o.raise(ctx); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return Failure(what, err)
	}
	for _, o := range tx.locked {
		if o.MapChanged || o.EndpointsChanged {
			db.onCommit(o.ID)
		}
	}
	return nil
}

// Update is Write for one organization, which it locks first.
func (db *DB) Update(ctx context.Context, what string, org mesh.OrgID, fn func(*Org) error) error {
	return db.Write(ctx, what, func(tx *Tx) error {
		o, err := tx.Lock(ctx, org)
		if err != nil {
			return err
		}
		return fn(o)
	})
}

// Scan copies the columns of a row, as engine.Row does.
type Scan func(dest ...any) error

// Collect reads every row of a query with scan.
func Collect[T any](ctx context.Context, q engine.Queryer, scan func(Scan) (T, error), query string, args ...any) ([]T, error) {
	rows, err := q.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []T
	for rows.Next() {
		v, err := scan(rows.Scan)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, rows.Err()
}

// ChangedOne checks that a statement has changed exactly one row.
func ChangedOne(changed int64, err error) error {
	if err == nil && changed != 1 {
		err = fmt.Errorf("store: %d rows changed instead of 1", changed)
	}
	return err
}
