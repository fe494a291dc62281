// Package migrations holds the database's schema, as goose files that are
// applied in the order of their numbers. A released file is never changed; a
// change of the schema is a new one.
package migrations

import "embed"

// FS has the migration files at its root.
//
//go:embed *.sql
var FS embed.FS
