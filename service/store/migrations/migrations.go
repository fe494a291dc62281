// Package migrations holds the database's schema as goose files, which Up applies
// in the order of their numbers. A released file never changes; a change of the
// schema is a new file.
package migrations

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"log/slog"

	"github.com/pressly/goose/v3"

	"nexd/mesh"
)

// FS has the migration files at its root.
//
//go:embed *.sql
var FS embed.FS

// Up brings a database's schema up to date. A schema that is newer than the newest
// file is a mesh.Invalid error, which calls the database name.
func Up(ctx context.Context, db *sql.DB, dialect goose.Dialect, name string, logger *slog.Logger) error {
	provider, err := goose.NewProvider(dialect, db, FS, goose.WithDisableGlobalRegistry(true), goose.WithSlog(logger))
	if err != nil {
		return fmt.Errorf("store: migrations: %w", err)
	}
	current, known, err := provider.GetVersions(ctx)
	if err != nil {
		return err
	}
	if current > known {
		return mesh.Errorf(mesh.Invalid, "store: database %s was written by a newer nexservice (schema %d, this one knows %d); run the newer one", name, current, known)
	}
	if current == known {
		return nil
	}
	_, err = provider.Up(ctx)
	return err
}
