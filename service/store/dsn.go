package store

import (
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"nexd/mesh"
)

// sqlitePath is the file that a DSN names.
func sqlitePath(dsn string) (string, error) {
	path, explicit := strings.CutPrefix(dsn, "sqlite:")
	if explicit {
		path = strings.TrimPrefix(path, "//") // sqlite:///var/lib/… is written, too
	}
	scheme, _, isURL := strings.Cut(path, "://")
	switch {
	case path == "":
		return "", mesh.Errorf(mesh.Invalid, "store: no database given; --db takes a file path, sqlite:PATH or postgres://…")
	case isURL && (scheme == "postgres" || scheme == "postgresql"):
		return "", mesh.Errorf(mesh.Invalid, "store: PostgreSQL is not supported by this build yet; use a file path")
	case isURL:
		return "", mesh.Errorf(mesh.Invalid, "store: database %s://…: unknown kind; --db takes a file path, sqlite:PATH or postgres://…", scheme)
	case path == ":memory:":
		return "", mesh.Errorf(mesh.Invalid, "store: database %q: a database in memory forgets everything; use a file path", dsn)
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", mesh.Errorf(mesh.Invalid, "store: database path %q: %w", path, err)
	}
	return abs, nil
}

// sqliteURI is what the driver opens. Commits are flushed to the disk (FULL): a
// commit that a power cut takes back would make a revision come twice.
func sqliteURI(path string, busy time.Duration, readOnly bool) string {
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
