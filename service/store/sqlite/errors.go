package sqlite

import (
	"errors"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"nexd/mesh"
	"nexd/service/store/engine"
)

// translate turns an error of SQLite into one of package engine.
func (e *Engine) translate(err error) error {
	code, ok := resultCode(err)
	if !ok || mesh.KindOf(err) != mesh.Internal {
		return err
	}
	if code == sqlite3.SQLITE_CONSTRAINT_UNIQUE || code == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY {
		return engine.Duplicate(err)
	}
	kind, text := explain(code)
	if text == "" {
		return err
	}
	return &engine.Fault{Kind: kind, Database: e.path, Text: text, Err: err}
}

// explain puts into words the results of SQLite that an operator can act on. The
// text of others is empty.
func explain(code int) (mesh.Kind, string) {
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

// resultCode is SQLite's extended result code in err.
func resultCode(err error) (code int, ok bool) {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Code(), true
	}
	return 0, false
}
