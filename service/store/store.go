package store

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"nexd/ipam"
	"nexd/mesh"
	"nexd/service/store/engine"
)

// Options are the choices of Open; the zero value is right for a service.
type Options struct {
	Logger      *slog.Logger     // nil = discard
	Now         func() time.Time // nil = time.Now
	Create      bool             // make the database if there is none; else that is a mesh.NotFound error
	BusyTimeout time.Duration    // how long to wait for another process that writes; 0 = 5 s
	Readers     int              // connections for reading; 0 = 4
	AddressRest time.Duration    // how long a released address stays unused; 0 = ipam.DefaultRest
	// OnCommit is called after every committed change that raised a counter of an
	// organization, on the goroutine that made it and with nothing locked. It must
	// not block. New epochs and changes by other processes are seen by Revs alone.
	OnCommit func(mesh.OrgID)
}

func (o *Options) setDefaults() {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.BusyTimeout == 0 {
		o.BusyTimeout = 5 * time.Second
	}
	if o.Readers == 0 {
		o.Readers = 4
	}
	if o.AddressRest == 0 {
		o.AddressRest = ipam.DefaultRest
	}
	if o.OnCommit == nil {
		o.OnCommit = func(mesh.OrgID) {}
	}
}

// Store is an open database. Its methods may be called from many goroutines.
type Store struct {
	opts   Options
	engine engine.Engine
}

// Open opens the database that dsn names, a file path, sqlite:PATH or
// postgres://…, and brings its schema up to date. Errors fit in one line and say
// what is wrong: no such database (mesh.NotFound), locked, read-only, full or
// damaged (mesh.Unavailable), not a database, a database of another program or of a
// newer nexservice (mesh.Invalid).
func Open(ctx context.Context, dsn string, opts Options) (*Store, error) {
	opts.setDefaults()
	e, err := openEngine(ctx, dsn, engine.Options{
		Logger: opts.Logger, Create: opts.Create, BusyTimeout: opts.BusyTimeout, Readers: opts.Readers,
	})
	if err != nil {
		return nil, failure("open", err)
	}
	return &Store{opts: opts, engine: e}, nil
}

// Close closes the database. Calls under way end with an error.
func (s *Store) Close() error { return failure("close", s.engine.Close()) }

// read runs fn in a read transaction: all that it sees is of one moment.
func (s *Store) read(ctx context.Context, what string, fn func(engine.Queryer) error) error {
	return failure(what, s.engine.Read(ctx, fn))
}

// write runs fn in a transaction that is not bound to an organization.
func (s *Store) write(ctx context.Context, what string, fn func(engine.Tx) error) error {
	return failure(what, s.engine.Write(ctx, fn))
}

// collect reads every row of a query with scan.
func collect[T any](ctx context.Context, q engine.Queryer, scan func(func(...any) error) (T, error), query string, args ...any) ([]T, error) {
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

// changedOne checks that a statement has changed exactly one row.
func changedOne(changed int64, err error) error {
	if err == nil && changed != 1 {
		err = fmt.Errorf("store: %d rows changed instead of 1", changed)
	}
	return err
}
