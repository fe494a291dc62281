package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"nexd/mesh"
	"nexd/service/store/engine"
)

// Engine is an open SQLite file.
type Engine struct {
	path    string
	writer  *sql.DB
	readers *sql.DB
}

var _ engine.Engine = (*Engine)(nil)

// Open opens the SQLite database in the file path and brings its schema up to
// date.
func Open(ctx context.Context, path string, opts engine.Options) (*Engine, error) {
	if path == ":memory:" {
		return nil, mesh.Errorf(mesh.Invalid, "store: database %q: a database in memory forgets everything; use a file path", path)
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, mesh.Errorf(mesh.Invalid, "store: database path %q: %w", path, err)
	}
	if err := ensureFile(abs, opts.Create); err != nil {
		return nil, err
	}
	e := &Engine{path: abs}
	if e.writer, err = sql.Open("sqlite", uri(abs, opts.BusyTimeout, false)); err != nil {
		return nil, err
	}
	e.writer.SetMaxOpenConns(1)
	if e.readers, err = sql.Open("sqlite", uri(abs, opts.BusyTimeout, true)); err != nil {
		e.writer.Close()
		return nil, err
	}
	e.readers.SetMaxOpenConns(opts.Readers)
	e.readers.SetMaxIdleConns(opts.Readers)
	if err := e.prepare(ctx, opts); err != nil {
		e.Close()
		if cause := e.directoryError(err); cause != nil {
			err = cause
		}
		return nil, e.translate(err)
	}
	return e, nil
}

// Name is the file's absolute path.
func (e *Engine) Name() string { return e.path }

// dialect needs no row lock: SQLite has one writer at a time.
func (e *Engine) dialect() engine.Dialect { return engine.Dialect{Translate: e.translate} }

// Read runs fn on a connection that cannot write.
func (e *Engine) Read(ctx context.Context, fn func(engine.Queryer) error) error {
	return engine.InTx(ctx, e.readers, e.dialect(), true, func(tx engine.Tx) error { return fn(tx) })
}

// Write runs fn while no other process writes.
func (e *Engine) Write(ctx context.Context, fn func(engine.Tx) error) error {
	return engine.InTx(ctx, e.writer, e.dialect(), false, fn)
}

// Close closes the file.
func (e *Engine) Close() error {
	return e.translate(errors.Join(e.readers.Close(), e.writer.Close()))
}

// ensureFile makes the database file if create says so. The file is readable by
// its owner only, since it holds the service's TLS key. SQLite gives the files
// beside it the same mode.
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

// uri is the name under which the driver opens path.
func uri(path string, busy time.Duration, readOnly bool) string {
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // C:/…
	}
	q := url.Values{}
	q.Add("_pragma", fmt.Sprintf("busy_timeout(%d)", busy.Milliseconds()))
	if readOnly {
		q.Add("_pragma", "query_only(1)")
	} else {
		q.Set("_txlock", "immediate")
		q.Add("_pragma", "journal_mode(WAL)")
		q.Add("_pragma", "synchronous(FULL)")
	}
	q.Add("_pragma", "foreign_keys(1)")
	return (&url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}).String()
}
