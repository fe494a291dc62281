package migrations_test

import (
	"database/sql"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite"

	"nexd/service/store/migrations"
)

func tables(t *testing.T, db *sql.DB) (n int) {
	t.Helper()
	err := db.QueryRow(`SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name NOT IN ('goose_db_version', 'sqlite_sequence')`).Scan(&n)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestUpAndDownAndUp(t *testing.T) {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "x.db")+"?_pragma=foreign_keys(1)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	p, err := goose.NewProvider(goose.DialectSQLite3, db, migrations.FS, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		t.Fatal(err)
	}
	up := func() int {
		t.Helper()
		if _, err := p.Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		return tables(t, db)
	}
	first := up()
	if first < 10 {
		t.Errorf("only %d tables", first)
	}
	if _, err := p.DownTo(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if n := tables(t, db); n != 0 {
		t.Errorf("%d tables are left", n)
	}
	if again := up(); again != first {
		t.Errorf("%d tables, then %d", first, again)
	}
}

var (
	table      = regexp.MustCompile(`(?s)CREATE TABLE (\w+) \((.*?)\n\);`)
	sqliteOnly = regexp.MustCompile(`(?i)\b(AUTOINCREMENT|BLOB|DATETIME|STRICT|ROWID|PRAGMA|UNSIGNED|TINYINT)\b`)
)

// Everything but people and the database's own facts belongs to an organization,
// and the texts are such that PostgreSQL takes them.
func TestSchema(t *testing.T) {
	files, err := fs.Glob(migrations.FS, "*.sql")
	if err != nil || len(files) == 0 {
		t.Fatalf("no migrations: %v", err)
	}
	whole := map[string]bool{"meta": true, "users": true, "organizations": true,
		"identities": true, "web_sessions": true, "api_tokens": true, "budgets": true}
	for _, f := range files {
		text, err := fs.ReadFile(migrations.FS, f)
		if err != nil {
			t.Fatal(err)
		}
		if word := sqliteOnly.FindString(string(text)); word != "" {
			t.Errorf("%s: only SQLite knows %s", f, word)
		}
		for _, m := range table.FindAllStringSubmatch(string(text), -1) {
			name, columns := m[1], m[2]
			if !whole[name] && !regexp.MustCompile(`\n\torg +TEXT +NOT NULL`).MatchString(columns) {
				t.Errorf("%s: table %s has no organization", f, name)
			}
			if !strings.Contains(columns, "PRIMARY KEY") {
				t.Errorf("%s: table %s has no primary key", f, name)
			}
		}
	}
}
