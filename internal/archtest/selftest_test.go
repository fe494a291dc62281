package archtest

import (
	"slices"
	"strings"
	"testing"
)

const sample = "text\n" +
	"| floor | room | what it does |\n" +
	"|---|---|---|\n" +
	"| F5 | `cmd/x/...` | commands |\n" +
	"| F2 | `store` | |\n" +
	"| F2 part | `store/sqlite` | |\n" +
	"| F2 | `tunnel` | |\n" +
	"| F1 | `tunnel/pace` | |\n" +
	"| F0 | `mesh` | |\n" +
	"| F0 | `internal/...` | |\n" +
	"| around | `e2e` | |\n" +
	"\n" +
	"| heavy import | only in |\n" +
	"|---|---|\n" +
	"| `sql.org` | `store`, `e2e/...` |\n" +
	"| `sql.org/fake` | `e2e/...` (a fake) |\n"

func TestImportsBetweenRooms(t *testing.T) {
	p, problems := readPlan(sample)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	for _, tt := range []struct{ from, to, want string }{
		{"cmd/x/internal/show", "cmd/x", ""},
		{"cmd/x", "tunnel", ""},
		{"tunnel", "tunnel/pace", ""},
		{"tunnel/pace", "tunnel", "floor above"},
		{"tunnel", "store", "one floor do not see each other"},
		{"tunnel", "tunnel/new", ""}, // the new folder is complained of once, by itself
		{"tunnel/new", "mesh", "docs/architecture.md:2: no row covers the folder tunnel/new"},
		{"store", "store/sqlite", ""},
		{"store/sqlite", "store", ""},
		{"cmd/x", "store/sqlite", "part of store"},
		{"internal/a", "internal/b", ""},
		{"internal/a", "mesh", ""},
		{"e2e", "cmd/x", ""},
	} {
		if got := p.imports(tt.from, tt.to); got != tt.want && (tt.want == "" || !strings.Contains(got, tt.want)) {
			t.Errorf("%s imports %s: %q, want %q", tt.from, tt.to, got, tt.want)
		}
	}
	for _, tt := range []struct {
		from, path string
		fine       bool
	}{
		{"store", "sql.org/v2", true}, {"store/sqlite", "sql.org/v2", false}, {"e2e/lab", "sql.org", true},
		{"store", "sql.org/fake", false}, {"e2e/lab", "sql.org/fake/x", true}, {"tunnel", "sql.organic", true},
	} {
		if got := p.importsHeavy(tt.from, tt.path); (got == "") != tt.fine {
			t.Errorf("%s imports %s: %q", tt.from, tt.path, got)
		}
	}
}

func TestABadTableNamesItsLine(t *testing.T) {
	for _, tt := range []struct{ old, new, want string }{
		{"| F2 | `tunnel` | |", "| F7 | `tunnel` | |", ":7: want"},
		{"| F2 | `tunnel` | |", "| F2 | tunnel | |", ":7: want"},
		{"| F2 | `tunnel` | |", "| F2 | `store` | |", ":7: store has a row already, in line 5"},
		{"| F2 part |", "| F1 part |", ":6: store/sqlite is a part of store and must stand on its floor, F2"},
		{"`store/sqlite`", "`shop/sqlite`", ":6: shop/sqlite is a part, but no folder above it is a room"},
		{"| floor |", "| storey |", ":1: no floors table"},
		{"| heavy import |", "| import |", ":1: no table of heavy imports"},
		{"`store`, `e2e/...`", "store", ":15: want"},
	} {
		_, problems := readPlan(strings.Replace(sample, tt.old, tt.new, 1))
		if !slices.ContainsFunc(problems, func(p string) bool { return strings.Contains(p, tt.want) }) {
			t.Errorf("%s → %s: %q, want one with %q", tt.old, tt.new, problems, tt.want)
		}
	}
}

func TestMissingFolders(t *testing.T) {
	p, _ := readPlan(sample)
	text := sample + "see `tunnel/old.go`, `tunnel/pace/...` and `example.org/x`\n"
	there := []string{"cmd/x", "store", "store/sqlite", "tunnel", "tunnel/pace", "mesh", "internal", "cmd"}
	got := missing(p, text, func(path string) bool { return slices.Contains(there, path) })
	want := []string{
		"docs/architecture.md:11: the folder e2e does not exist: correct or remove its row",
		"docs/architecture.md:17: `tunnel/old.go` does not exist",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}
