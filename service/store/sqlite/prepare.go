package sqlite

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"github.com/pressly/goose/v3"
	sqlite3 "modernc.org/sqlite/lib"

	"nexd/mesh"
	"nexd/service/store/engine"
	"nexd/service/store/migrations"
)

// Another process may open or migrate the same database at this moment. prepare
// then tries again.
const (
	migrateTries = 5 // each try also waits for the other process's lock
	retryPause   = 50 * time.Millisecond
)

// prepare checks that the database is ours and writable, and migrates it.
func (e *Engine) prepare(ctx context.Context, opts engine.Options) error {
	begun := time.Now()
	err := retry(ctx, func(_ int, err error) bool {
		// SQLite does not wait for the process that makes an empty file a WAL database.
		code, _ := resultCode(err)
		return code&0xff == sqlite3.SQLITE_BUSY && time.Since(begun) < opts.BusyTimeout
	}, func() error {
		if err := e.checkWritable(ctx); err != nil {
			return err
		}
		return e.checkOwn(ctx)
	})
	if err != nil {
		return err
	}
	return retry(ctx, func(tries int, err error) bool {
		return tries < migrateTries && mesh.KindOf(err) == mesh.Internal
	}, func() error {
		return migrations.Up(ctx, e.writer, goose.DialectSQLite3, e.path, opts.Logger)
	})
}

// retry runs fn until it succeeds, or until again, which is told how often it ran,
// says no to its error.
func retry(ctx context.Context, again func(tries int, err error) bool, fn func() error) error {
	for tries := 1; ; tries++ {
		err := fn()
		if err == nil || !again(tries, err) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(retryPause):
		}
	}
}

// checkWritable asks SQLite whether it opened the file for reading only. SQLite
// does so without an error when it may not write the file.
func (e *Engine) checkWritable(ctx context.Context) error {
	conn, err := e.writer.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	return conn.Raw(func(c any) error {
		asker, ok := c.(interface {
			IsReadOnly(schema string) (bool, error)
		})
		if !ok {
			return nil
		}
		readOnly, err := asker.IsReadOnly("main")
		if err == nil && readOnly {
			kind, text := explain(sqlite3.SQLITE_READONLY)
			return mesh.Errorf(kind, "store: open: database %s %s", e.path, text)
		}
		return err
	})
}

// checkOwn refuses a database with tables of another program. Its transaction
// takes the write lock, so a locked file is reported here.
func (e *Engine) checkOwn(ctx context.Context) error {
	tx, err := e.writer.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	var tables, ours int
	err = tx.QueryRowContext(ctx, `SELECT COUNT(*), COUNT(CASE WHEN name = 'goose_db_version' THEN 1 END)
		FROM sqlite_master WHERE type = 'table'`).Scan(&tables, &ours)
	if err == nil && tables > 0 && ours == 0 {
		return mesh.Errorf(mesh.Invalid, "store: database %s belongs to another program", e.path)
	}
	return err
}

// directoryError reports whether SQLite could not open an existing database because
// its directory, where SQLite keeps files beside the database, is not writable.
// It does not open the database file to find out: closing that file would drop
// the POSIX locks that another Engine of this process may hold on it.
func (e *Engine) directoryError(openErr error) error {
	if code, _ := resultCode(openErr); code&0xff != sqlite3.SQLITE_CANTOPEN {
		return nil
	}
	f, err := os.CreateTemp(filepath.Dir(e.path), ".nexd-*")
	if err != nil {
		return mesh.Errorf(mesh.Unavailable, "store: database %s is read-only: its directory cannot be written: %w", e.path, err)
	}
	f.Close()
	return os.Remove(f.Name())
}
