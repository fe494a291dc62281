package store

import (
	"context"
	"strings"

	"nexd/mesh"
	"nexd/service/store/engine"
	"nexd/service/store/sqlite"
)

// openEngine opens the database that dsn names with the engine for it.
func openEngine(ctx context.Context, dsn string, opts engine.Options) (engine.Engine, error) {
	path, explicit := strings.CutPrefix(dsn, "sqlite:")
	if explicit {
		path = strings.TrimPrefix(path, "//") // sqlite:///var/lib/… is accepted, too
	}
	scheme, _, isURL := strings.Cut(path, "://")
	switch {
	case path == "":
		return nil, mesh.Errorf(mesh.Invalid, "store: no database given; --db takes a file path, sqlite:PATH or postgres://…")
	case isURL && (scheme == "postgres" || scheme == "postgresql"):
		return nil, mesh.Errorf(mesh.Invalid, "store: PostgreSQL is not supported by this build yet; use a file path")
	case isURL:
		return nil, mesh.Errorf(mesh.Invalid, "store: database %s://…: unknown kind; --db takes a file path, sqlite:PATH or postgres://…", scheme)
	}
	return sqlite.Open(ctx, path, opts)
}
