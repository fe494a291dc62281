package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"nexd/internal/program"
)

const errorsDoc = "../../docs/errors.md"

// documentedRooms are the packages whose errors a user of nexd reads, with the titles
// of their tables.
var documentedRooms = []struct{ dir, title string }{
	{"cmd/nexd", "The command line and the config file"},
	{"cmd/nexd/internal/admin", "nexd admin"},
	{"internal/program", "Any command line, and files with a secret"},
	{"agent", "The agent: hints to a node's errors, the targets of proxy and forwards"},
	{"node", "The node: joining, dialing, listening"},
	{"node/datapath", "The node: mode, WireGuard, relay"},
	{"node/state", "The node: its state directory"},
	{"netmap", "Names and addresses in the mesh"},
	{"control", "The connection to the service"},
	{"proxy", "The proxy"},
	{"forward", "Forwards"},
	{"internal/metrics", "Metrics"},
}

// TestErrorsAreDocumented compares docs/errors.md with the code. To write it
// again: NEXD_WRITE_DOCS=1 go test -run AreDocumented ./cmd/nexd
func TestErrorsAreDocumented(t *testing.T) {
	want := errorsPage(t)
	if os.Getenv("NEXD_WRITE_DOCS") != "" {
		if err := os.WriteFile(errorsDoc, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(errorsDoc)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != want {
		t.Errorf("%s does not match the code; write it again with NEXD_WRITE_DOCS=1 go test -run AreDocumented ./cmd/nexd", errorsDoc)
	}
}

const errorsHead = `# Error messages of nexd

A test of cmd/nexd generates this document from the code; do not edit it. "…" stands for a value or
for a cause. A message names what failed and ends with the cause, which may be another message of this
document. [applications.md](applications.md) lists the replies to clients of the proxy.

## Exit codes

nexd and nexservice have the same four; no command has another.

| code | meaning |
|---|---|
| %d | success; nexd was told to stop (Ctrl-C, SIGTERM, nexd down) |
| %d | failure |
| %d | wrong usage: a command, a flag, a variable, the config file or the service URL; nothing was done |
| %d | nexd is not running, or the service cannot be reached |

%s
## Kinds of errors

| kind | what to do |
|---|---|
| invalid | this can never work as written: change what the message names |
| not found | check the name: the thing does not exist, or you may not see it |
| conflict | something else uses it: choose another, or free it |
| exhausted | a limit is reached: try later, with less, or with a higher limit |
| denied | the message says who or what does not allow it |
| unavailable | try later: a part that is needed does not answer; a running nexd retries by itself |
| internal | a bug in nexd: please report it with the log |
| usage | correct the command line or the config file; nexd exits with code 2 |
| – | the kind of the cause |
`

func errorsPage(t *testing.T) string {
	var b strings.Builder
	fmt.Fprintf(&b, errorsHead, program.ExitFine, program.ExitFailed, program.ExitUsage, program.ExitUnreachable, strings.ReplaceAll(exitTable, "§", "`"))
	for _, room := range documentedRooms {
		found := errorsIn(t, "../../"+room.dir)
		if len(found) == 0 {
			t.Errorf("no errors are found in %s", room.dir)
		}
		fmt.Fprintf(&b, "\n## %s\n\n| message | kind |\n|---|---|\n", room.title)
		for _, text := range slices.Sorted(maps.Keys(found)) {
			fmt.Fprintf(&b, "| %s | %s |\n", text, found[text])
		}
	}
	return b.String()
}

// errorsIn is the kind of every error that a package makes, by its text.
func errorsIn(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") || e.Type()&fs.ModeType != 0 {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), dir+"/"+e.Name(), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok {
				if kind, format := errorCall(call); format != nil {
					if text := readable(format); text != "" {
						found[text] = kind
					}
				}
			}
			return true
		})
	}
	return found
}

// errorCall recognizes what makes an error: its kind, and the expression of its
// text.
func errorCall(call *ast.CallExpr) (kind string, format ast.Expr) {
	switch name := dotted(call.Fun); {
	case name == "c.barred" && len(call.Args) > 2: // of package control
		return strings.ToLower(strings.TrimPrefix(dotted(call.Args[0]), "mesh.")), call.Args[2]
	case (name == "mesh.Errorf" || name == "c.errorf") && len(call.Args) > 1:
		kind := "–"
		if k, ok := strings.CutPrefix(dotted(call.Args[0]), "mesh."); ok && k != "KindOf" {
			kind = strings.ToLower(strings.ReplaceAll(k, "NotFound", "Not found"))
		}
		return kind, call.Args[1]
	case (name == "fmt.Errorf" || name == "errors.New") && len(call.Args) > 0:
		return "–", call.Args[0]
	case (name == "program.Usagef" || name == "Usagef") && len(call.Args) > 0:
		return "usage", call.Args[0]
	case strings.HasSuffix(name, ".fault") && len(call.Args) > 0:
		return "usage", call.Args[min(len(call.Args)-1, 1)]
	}
	return "", nil
}

// dotted is a name, or a name of a package; empty for anything else.
func dotted(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return dotted(e.X) + "." + e.Sel.Name
	case *ast.CallExpr:
		return dotted(e.Fun)
	}
	return ""
}

var verbs = regexp.MustCompile(`%[+#]?[0-9.]*[a-zA-Z]`)

// readable is a format as a person reads it: empty if nothing but values is left.
func readable(e ast.Expr) string {
	text := strings.Join(strings.Fields(verbs.ReplaceAllString(literal(e), "…")), " ")
	text = strings.ReplaceAll(strings.ReplaceAll(text, "%%", "%"), "|", `\|`)
	if !strings.Contains(strings.Trim(text, ":… "), " ") { // a cause, and no more
		return ""
	}
	return "`" + strings.ReplaceAll(text, "`", "'") + "`"
}

// literal is a text of literals; what else is in it is a value.
func literal(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		if s, err := strconv.Unquote(e.Value); err == nil && e.Kind == token.STRING {
			return s
		}
	case *ast.BinaryExpr:
		return literal(e.X) + literal(e.Y)
	}
	return "…"
}

// exitTable says what the codes mean for each command; § stands for a backquote.
const exitTable = `| command | 0 | 1 | 3 |
|---|---|---|---|
| §nexd§, §nexd router§ | it was told to stop | it cannot start or was refused: a port in use, a denied or expired approval, a state directory in use; the node was removed | the service cannot be reached for the first join; a node that has joined starts without it |
| §nexd status --check§ | everything works | something does not work; each line says what | no node is running |
| §nexd ping§ | at least one request was answered | none was; the target does not exist; with §--until-direct§, the path is not direct after 30 s | no node is running |
| §nexd nc§ | both directions ended | the target refuses, resets or does not answer; Ctrl-C | no node is running |
| §nexd netcheck§ | a mesh can work here, directly or through the relay | it cannot; the last line says why | – |
| §nexd ip§, §forward§, §env§, §down§ | done | no such node or forward; no proxy for §env§ | no node is running |
| §nexd admin§ | done | refused or not found | the service cannot be reached |
| §nexservice serve§ | it was told to stop | it cannot start: a port in use, a database that cannot be opened | – |
| §nexservice§ others | done | refused or not found | – |
`
