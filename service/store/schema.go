package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/pressly/goose/v3"
	sqlite3 "modernc.org/sqlite/lib"

	"nexd/mesh"
	"nexd/service/store/migrations"
)

// migrateTries is how often Open tries when another process migrates at the same
// time; each try waits for that one's locks, too.
const migrateTries = 5

// prepare checks that the database is ours to write and migrates it.
func (s *Store) prepare(ctx context.Context) error {
	if err := s.checkWritable(ctx); err != nil {
		return err
	}
	tx, err := s.w.BeginTx(ctx, nil) // needs the write lock: shows a locked file
	if err != nil {
		return err
	}
	err = s.checkOwn(ctx, tx)
	if err := tx.Rollback(); err != nil {
		return err
	}
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, s.w, migrations.FS, goose.WithDisableGlobalRegistry(true), goose.WithSlog(s.opts.Logger))
	if err != nil {
		return fmt.Errorf("store: migrations: %w", err)
	}
	for try := 1; ; try++ {
		if err = s.migrate(ctx, provider); err == nil || hasKind(err) || try == migrateTries {
			return err
		}
		select { // perhaps another process was at it; look again
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// checkWritable asks SQLite whether it fell back to reading only, which it does
// without a word when it may not write the file.
func (s *Store) checkWritable(ctx context.Context) error {
	conn, err := s.w.Conn(ctx)
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
			kind, text := sqliteTrouble(sqlite3.SQLITE_READONLY)
			return mesh.Errorf(kind, "store: open: database %s %s", s.path, text)
		}
		return err
	})
}

// checkOwn refuses a database that has tables, but not ours.
func (s *Store) checkOwn(ctx context.Context, tx *sql.Tx) error {
	var tables, ours int
	err := tx.QueryRowContext(ctx, `SELECT COUNT(*), COUNT(CASE WHEN name = 'goose_db_version' THEN 1 END)
		FROM sqlite_master WHERE type = 'table'`).Scan(&tables, &ours)
	if err == nil && tables > 0 && ours == 0 {
		return mesh.Errorf(mesh.Invalid, "store: database %s belongs to another program", s.path)
	}
	return err
}

func (s *Store) migrate(ctx context.Context, provider *goose.Provider) error {
	current, known, err := provider.GetVersions(ctx)
	if err != nil {
		return err
	}
	if current > known {
		return mesh.Errorf(mesh.Invalid, "store: database %s was written by a newer nexservice (schema %d, this one knows %d); run the newer one", s.path, current, known)
	}
	if current == known {
		return nil
	}
	_, err = provider.Up(ctx)
	return err
}
