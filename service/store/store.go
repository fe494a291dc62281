package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"nexd/ipam"
	"nexd/mesh"
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
	opts Options
	path string
	w    *sql.DB // one connection: writers of this process queue here, not in SQLite
	r    *sql.DB // some connections that cannot write
}

// Open opens the database that dsn names, a file path, sqlite:PATH or
// postgres://…, and brings its schema up to date. What can go wrong is told in
// one line: no such database (mesh.NotFound), locked, read-only, full or
// damaged (mesh.Unavailable), not a database, that of another
// program or of a newer nexservice (mesh.Invalid).
func Open(ctx context.Context, dsn string, opts Options) (*Store, error) {
	opts.setDefaults()
	path, err := sqlitePath(dsn)
	if err != nil {
		return nil, err
	}
	if err := ensureFile(path, opts.Create); err != nil {
		return nil, err
	}
	s := &Store{opts: opts, path: path}
	if s.w, err = sql.Open("sqlite", sqliteURI(path, opts.BusyTimeout, false)); err != nil {
		return nil, s.fail("open", err)
	}
	s.w.SetMaxOpenConns(1)
	if s.r, err = sql.Open("sqlite", sqliteURI(path, opts.BusyTimeout, true)); err != nil {
		s.w.Close()
		return nil, s.fail("open", err)
	}
	s.r.SetMaxOpenConns(opts.Readers)
	s.r.SetMaxIdleConns(opts.Readers)
	if err := s.prepare(ctx); err != nil {
		s.Close()
		if trouble := dirTrouble(path, err); trouble != nil {
			err = trouble
		}
		return nil, s.fail("open", err)
	}
	return s, nil
}

// dirTrouble finds out why SQLite could not open a database that is there: it
// needs to write beside it. The file itself is not tried, since closing it would
// drop the locks that another Store of this process may have on it (POSIX).
func dirTrouble(path string, openErr error) error {
	if code, _ := sqliteCode(openErr); code&0xff != sqlite3.SQLITE_CANTOPEN {
		return nil
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".nexd-*")
	if err != nil {
		return mesh.Errorf(mesh.Unavailable, "store: database %s is read-only: its directory cannot be written: %w", path, err)
	}
	f.Close()
	return os.Remove(f.Name())
}

// Close closes the database. Calls under way end with an error.
func (s *Store) Close() error {
	return s.fail("close", errors.Join(s.r.Close(), s.w.Close()))
}

// ensureFile sees to it that the database file is there, readable by its owner
// only: it holds the service's TLS key. SQLite's other files take its mode.
func ensureFile(path string, create bool) error {
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return mesh.Errorf(mesh.Invalid, "store: database %s is a directory; name a file in it", path)
	case err == nil:
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return mesh.Errorf(mesh.Unavailable, "store: database: %w", err)
	case !create:
		return mesh.Errorf(mesh.NotFound, "store: no database at %s; make one with: nexservice bootstrap --db=%s", path, path)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return mesh.Errorf(mesh.Unavailable, "store: database directory: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	switch {
	case errors.Is(err, fs.ErrExist): // another process was faster
		return nil
	case err != nil:
		return mesh.Errorf(mesh.Unavailable, "store: new database: %w", err)
	}
	return f.Close()
}

// queryer is what reads and writes have in common.
type queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// read runs fn in a read transaction: all that it sees is of one moment.
func (s *Store) read(ctx context.Context, what string, fn func(queryer) error) error {
	tx, err := s.r.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return s.fail(what, err)
	}
	defer tx.Rollback()
	return s.fail(what, fn(tx))
}

// write runs fn in a transaction that is not bound to an organization.
func (s *Store) write(ctx context.Context, what string, fn func(*sql.Tx) error) error {
	tx, err := s.w.BeginTx(ctx, nil)
	if err != nil {
		return s.fail(what, err)
	}
	defer tx.Rollback()
	if err := fn(tx); err != nil {
		return s.fail(what, err)
	}
	return s.fail(what, tx.Commit())
}

// collect reads every row of a query with scan.
func collect[T any](ctx context.Context, q queryer, scan func(func(...any) error) (T, error), query string, args ...any) ([]T, error) {
	rows, err := q.QueryContext(ctx, query, args...)
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
func changedOne(res sql.Result, err error) error {
	if err != nil {
		return err
	}
	n, err := res.RowsAffected()
	if err == nil && n != 1 {
		err = fmt.Errorf("store: %d rows changed instead of 1", n)
	}
	return err
}
