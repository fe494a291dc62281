package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"nexd/mesh"
)

// fail says what could not be done, with a kind. Errors that have one pass as
// they are: they come from the rules, not from the database.
func (s *Store) fail(what string, err error) error {
	if err == nil || hasKind(err) {
		return err
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return trouble{mesh.Errorf(mesh.Unavailable, "store: %s: %w", what, err)}
	}
	code, ok := sqliteCode(err)
	if !ok {
		return fmt.Errorf("store: %s: %w", what, err)
	}
	kind, text := sqliteTrouble(code)
	if text == "" {
		return fmt.Errorf("store: %s: %w", what, err)
	}
	return trouble{mesh.Errorf(kind, "store: %s: database %s %s: %w", what, s.path, text, err)}
}

// ErrDatabase is what errors are that come from the database itself being locked,
// full, read-only, broken or too slow, and not from what was asked of it.
var ErrDatabase = errors.New("store: the database cannot be used")

type trouble struct{ error }

func (t trouble) Is(target error) bool { return target == ErrDatabase }
func (t trouble) Unwrap() error        { return t.error }

// sqliteTrouble puts into words what an operator can do something about.
func sqliteTrouble(code int) (mesh.Kind, string) {
	switch code & 0xff {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return mesh.Unavailable, "is locked by another process"
	case sqlite3.SQLITE_READONLY:
		return mesh.Unavailable, "is read-only; check the permissions of the file and its directory"
	case sqlite3.SQLITE_FULL:
		return mesh.Unavailable, "cannot grow; the disk is full"
	case sqlite3.SQLITE_IOERR:
		return mesh.Unavailable, "cannot be read or written; check the disk"
	case sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM:
		return mesh.Unavailable, "cannot be opened; check the permissions of the file and its directory"
	case sqlite3.SQLITE_NOTADB:
		return mesh.Invalid, "is not an SQLite database"
	case sqlite3.SQLITE_CORRUPT:
		return mesh.Unavailable, "is damaged; restore it from a backup"
	}
	return mesh.Internal, ""
}

func sqliteCode(err error) (int, bool) {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Code(), true
	}
	return 0, false
}

// isDuplicate says whether a row with the same unique values is there already.
func isDuplicate(err error) bool {
	code, ok := sqliteCode(err)
	return ok && (code == sqlite3.SQLITE_CONSTRAINT_UNIQUE || code == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY)
}

func isNoRow(err error) bool { return errors.Is(err, sql.ErrNoRows) }

// hasKind says whether somebody decided already what the caller can do.
func hasKind(err error) bool { return mesh.KindOf(err) != mesh.Internal }
