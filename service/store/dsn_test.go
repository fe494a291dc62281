package store_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nexd/internal/leak"
	"nexd/mesh"
	"nexd/service/store"
)

func wantOpenError(t *testing.T, dsn string, opts store.Options, kind mesh.Kind, text string) {
	t.Helper()
	s, err := store.Open(t.Context(), dsn, opts)
	if err == nil {
		s.Close()
	}
	if err == nil || mesh.KindOf(err) != kind || !strings.Contains(err.Error(), text) || strings.Contains(err.Error(), "\n") {
		t.Errorf("Open(%q) = %v (%v), want %v with %q in one line", dsn, err, mesh.KindOf(err), kind, text)
	}
}

func TestDSN(t *testing.T) {
	leak.Check(t)
	dir := t.TempDir()
	missing := filepath.Join(dir, "missing.db")
	for _, tt := range []struct {
		dsn  string
		kind mesh.Kind
		text string
	}{
		{"", mesh.Invalid, "no database given"},
		{"sqlite:", mesh.Invalid, "no database given"},
		{"postgres://u:secret@db/nexd", mesh.Invalid, "PostgreSQL is not supported by this build yet"},
		{"postgresql://db", mesh.Invalid, "PostgreSQL is not supported by this build yet"},
		{"mysql://u:secret@db", mesh.Invalid, "mysql://…: unknown kind"},
		{":memory:", mesh.Invalid, "in memory"},
		{"sqlite::memory:", mesh.Invalid, "in memory"},
		{dir, mesh.Invalid, "is a directory"},
		{missing, mesh.NotFound, "no database at " + missing + "; make one with: nexservice bootstrap --db=" + missing},
		{filepath.Join(missing, "x"), mesh.NotFound, "no database"},
	} {
		wantOpenError(t, tt.dsn, store.Options{}, tt.kind, tt.text)
		if _, err := store.Open(t.Context(), tt.dsn, store.Options{}); strings.Contains(err.Error(), "secret") {
			t.Errorf("error %q shows a password", err)
		}
	}
	if _, err := os.Stat(missing); err == nil {
		t.Error("a failed Open made a file")
	}
}
