package store_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// global are the statements that may leave the organization out: those that find
// it, those about the whole database, and parts that others complete.
var global = []string{
	`SELECT org, id FROM nodes WHERE key = $1`,
	`SELECT hash, org, node, expires FROM sessions WHERE hash = $1`,
	`DELETE FROM sessions WHERE hash = $1`,
	`DELETE FROM sessions WHERE expires <= $1`,
	`FROM invitations WHERE hash = $1`, // the part behind invitationColumns
	`, hash FROM invitations WHERE hash = $1`,
	// device logins are found by what the node or the person holds, until somebody answered:
	`DELETE FROM device_logins WHERE node_key = $1 OR expires <= $2`,
	`DELETE FROM device_logins WHERE expires <= $1`,
	`SELECT COUNT(*) FROM device_logins WHERE expires > $1`,
	`FROM device_logins WHERE user_code = $1`,
	`, hash FROM device_logins WHERE hash = $1`,
	`UPDATE device_logins SET org = $1, state = $3, expires = $4`,
	`UPDATE device_logins SET polled = $2 WHERE hash = $1`,
	`SELECT org FROM device_logins WHERE hash = $1 AND node_key = $2 AND state = 'approved'`,
	`JOIN (SELECT org, hash FROM registration_keys WHERE hash = $1) k ON k.org = id`,
	`JOIN (SELECT org, role FROM memberships WHERE user_id = $1) m ON m.org = id ORDER BY name`,
	`SELECT o.id, o.rev, e.rev FROM organizations o JOIN endpoint_revs e ON e.org = o.id`,
	`FROM prefixes p JOIN nodes n ON n.org = p.org AND n.id = p.node`, // holdingColumns
	// readNodes and its parts, completed by scope:
	`SELECT id, name, hostname, key, os, version, nat, created, last_seen FROM nodes`,
	`SELECT node, addr FROM node_addresses`,
	`SELECT node, addr FROM endpoints`,
}

var (
	tenantTable = regexp.MustCompile(`\b(FROM|INTO|UPDATE|JOIN) (endpoint_revs|memberships|registration_keys|nodes|node_addresses|prefixes|endpoints|sessions|invitations|device_logins|audit)\b`)
	scoped      = regexp.MustCompile(`\b(org|p\.org|n\.org|m\.org) = \$1|\((hash, )?org\b|WHERE o\.id = \$1`)
	sqliteOnly  = regexp.MustCompile(`(?i)\bINSERT OR\b|\bREPLACE INTO\b|\bIFNULL\(|\browid\b|\bPRAGMA\b|\bsqlite_|\?|\bGLOB\b|\bstrftime|\bdatetime\(`)
)

// statements are the SQL texts in the sources of the store and its parts, by
// position.
func statements(t *testing.T) map[string]string {
	t.Helper()
	var files []string
	for _, folder := range []string{".", "txn", "nodes", "accounts"} {
		in, err := filepath.Glob(filepath.Join(folder, "*.go"))
		if err != nil || len(in) == 0 {
			t.Fatalf("%s: %d sources, %v", folder, len(in), err)
		}
		files = append(files, in...)
	}
	found := map[string]string{}
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		fset := token.NewFileSet()
		tree, err := parser.ParseFile(fset, f, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			lit, ok := n.(*ast.BasicLit)
			if !ok || lit.Kind != token.STRING || !strings.HasPrefix(lit.Value, "`") {
				return true
			}
			text, err := strconv.Unquote(lit.Value)
			if err != nil {
				t.Fatal(err)
			}
			found[fset.Position(lit.Pos()).String()] = strings.Join(strings.Fields(text), " ")
			return true
		})
	}
	return found
}

func TestEveryStatementStartsWithTheOrganization(t *testing.T) {
	tenant := 0
	for at, text := range statements(t) {
		if !tenantTable.MatchString(text) {
			continue
		}
		tenant++
		known := false
		for _, g := range global {
			known = known || strings.Contains(text, g)
		}
		if !known && !scoped.MatchString(text) {
			t.Errorf("%s: this statement leaves the organization out: %s", at, text)
		}
	}
	if tenant < 30 {
		t.Errorf("found only %d statements", tenant)
	}
}

func TestStatementsAreForPostgreSQLToo(t *testing.T) {
	for at, text := range statements(t) {
		if sqliteOnly.MatchString(text) {
			t.Errorf("%s: only SQLite understands: %s", at, text)
		}
	}
}
