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

// documentedRooms are those whose errors a user of nexd reads, and what each speaks of.
var documentedRooms = []struct{ dir, title string }{
	{"cmd/nexd", "The command line and the config file"},
	{"agent", "The node: state, joining, the proxy's and the forwards' targets"},
	{"netmap", "Names and addresses of the mesh"},
	{"control", "The service and the way to it"},
	{"proxy", "The proxy"},
	{"forward", "Forwards"},
}

// TestErrorsAreDocumented keeps docs/errors.md what the code says. To write it
// anew: NEXD_WRITE_DOCS=1 go test -run AreDocumented ./cmd/nexd
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
		t.Errorf("%s is not what the code says; write it anew with NEXD_WRITE_DOCS=1 go test -run AreDocumented ./cmd/nexd", errorsDoc)
	}
}

const errorsHead = `# What nexd can say when something fails

Written from the code by a test of cmd/nexd; do not edit. "…" stands for a value, or for the cause. A message that begins with
what failed ends with why, so that one line may be several of these, one after the other. What a proxy's client is told stands
in [applications.md](applications.md).

| exit code | |
|---|---|
| %d | fine |
| %d | failed |
| %d | wrong usage: a flag, the config file, or the service URL |
| %d | no nexd runs there, or the service cannot be reached |

| kind | the way out |
|---|---|
| invalid | it can never work as it is written: change what the message names |
| not found | there is no such thing, or it is not yours to see: look at the name |
| conflict | something else has it: take another, or make it free |
| exhausted | a limit is reached: later, with less, or with a higher limit |
| denied | it is known but not allowed: the message says by what |
| unavailable | a part that is needed is away: the same may work later, and nexd tries again by itself where it runs on |
| internal | a fault of nexd: please report it with the log |
| usage | the command line or the config file is wrong: nexd ends with exit code 2 |
| – | that of the cause |
`

func errorsPage(t *testing.T) string {
	var b strings.Builder
	fmt.Fprintf(&b, errorsHead, program.ExitFine, program.ExitFailed, program.ExitUsage, program.ExitUnreachable)
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
	case name == "mesh.Errorf" && len(call.Args) > 1:
		kind := "–"
		if k, ok := strings.CutPrefix(dotted(call.Args[0]), "mesh."); ok && k != "KindOf" {
			kind = strings.ToLower(strings.ReplaceAll(k, "NotFound", "Not found"))
		}
		return kind, call.Args[1]
	case (name == "fmt.Errorf" || name == "errors.New") && len(call.Args) > 0:
		return "–", call.Args[0]
	case name == "program.Usagef" && len(call.Args) > 0:
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
