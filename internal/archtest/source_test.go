package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// source is a Go file of this module, for any system.
type source struct {
	path   string // below the root
	lines  int
	syntax *ast.File
	test   bool
}

// sources are the Go files of the module.
var sources = sync.OnceValues(func() (all []source, err error) {
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch name := d.Name(); {
		case err != nil:
			return err
		case d.IsDir() && path != root && (strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || name == "testdata" || name == "bin"):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go"):
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		below, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		s, err := parseSource(filepath.ToSlash(below), string(text))
		all = append(all, s)
		return err
	})
	return all, err
})

func parseSource(path, text string) (source, error) {
	syntax, err := parser.ParseFile(token.NewFileSet(), path, text, parser.ParseComments|parser.SkipObjectResolution)
	return source{path, strings.Count(text, "\n"), syntax, strings.HasSuffix(path, "_test.go")}, err
}

func (s source) folder() string { return filepath.ToSlash(filepath.Dir(s.path)) }

// generated files say so in the way that Go has settled.
func (s source) generated() bool { return ast.IsGenerated(s.syntax) }

func theSources(t *testing.T) []source {
	t.Helper()
	all, err := sources()
	if err != nil || len(all) < 100 {
		t.Fatalf("%d files: %v", len(all), err)
	}
	return all
}

// finding is something that is larger than it may be, or forbidden.
type finding struct {
	name  string // as the lists of exceptions name it
	where string // folder or file
	says  string
}

// check compares what was found with the exceptions, by name; each says its reason. An
// exception that is not needed any more fails the test, too, so that lists only shrink.
func check(t *testing.T, list string, found []finding, exceptions map[string]string) {
	t.Helper()
	seen := map[string]bool{}
	for _, f := range found {
		seen[f.name] = true
		if exceptions[f.name] != "" {
			continue
		}
		t.Errorf("%s: %s; change it, or add %q with a reason to %s in internal/archtest", f.where, f.says, f.name, list)
	}
	for _, name := range slices.Sorted(maps.Keys(exceptions)) {
		if !seen[name] {
			t.Errorf("%s in internal/archtest: %q is not needed any more; remove it", list, name)
		}
	}
}

// largePackages are the packages of more than maxLines lines without tests whose
// comment in doc.go has no paragraph that starts with "Size: " and gives the reason.
func largePackages(all []source) (found []finding) {
	lines, reason := map[string]int{}, map[string]bool{}
	for _, s := range all {
		if s.test || s.generated() {
			continue
		}
		lines[s.folder()] += s.lines
		if filepath.Base(s.path) == "doc.go" {
			reason[s.folder()] = sizeReason.MatchString(s.syntax.Doc.Text())
		}
	}
	for _, folder := range slices.Sorted(maps.Keys(lines)) {
		if n := lines[folder]; n > maxLines && !reason[folder] {
			found = append(found, finding{folder, folder, fmt.Sprintf("%d lines without tests, more than %d, and no paragraph \"Size: reason\" in doc.go", n, maxLines)})
		} else if n <= maxLines && reason[folder] {
			found = append(found, finding{folder, folder, fmt.Sprintf("%d lines need no paragraph \"Size: reason\" in doc.go", n)})
		}
	}
	return found
}

var sizeReason = regexp.MustCompile(`(?m)(?:\A|\n\n)Size: \S+`)

// wideTypes are structs of more than maxFields fields and interfaces of more than
// maxMethods methods. Configurations are as wide as what they configure: a struct whose
// name ends in Config, Options or Flags may have any number of fields, and so may one
// with kong's tags, which is a command line.
func wideTypes(all []source) (found []finding) {
	for _, s := range all {
		if s.generated() {
			continue
		}
		ast.Inspect(s.syntax, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			name := s.folder() + "." + spec.Name.Name
			switch typ := spec.Type.(type) {
			case *ast.StructType:
				if n := width(typ.Fields); n > maxFields && !configName.MatchString(spec.Name.Name) && !isCommandLine(typ) {
					found = append(found, finding{name, s.path, fmt.Sprintf("a struct of %d fields, more than %d", n, maxFields)})
				}
			case *ast.InterfaceType:
				if n := width(typ.Methods); n > maxMethods {
					found = append(found, finding{name, s.path, fmt.Sprintf("an interface of %d methods, more than %d", n, maxMethods)})
				}
			}
			return true
		})
	}
	return found
}

var configName = regexp.MustCompile(`(Config|Options|Flags)$`)

func width(fields *ast.FieldList) (n int) {
	for _, f := range fields.List {
		n += max(1, len(f.Names)) // an embedded one has no name
	}
	return n
}

func isCommandLine(s *ast.StructType) bool {
	return slices.ContainsFunc(s.Fields.List, func(f *ast.Field) bool {
		if f.Tag == nil {
			return false
		}
		text, err := strconv.Unquote(f.Tag.Value)
		_, cmd := reflect.StructTag(text).Lookup("cmd")
		_, help := reflect.StructTag(text).Lookup("help")
		return err == nil && (cmd || help)
	})
}

// sleeps are the calls of time.Sleep in tests, each named by its folder and function. A
// sleep in a function that is written out in a call of synctest.Test, or of a function of
// the package that hands it on to synctest.Test, is not meant: its time is not real.
func sleeps(all []source) (found []finding) {
	bubbles := map[string]bool{}
	for _, s := range all {
		for _, d := range s.syntax.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && s.test && makesBubble(f) {
				bubbles[s.folder()+"."+f.Name.Name] = true
			}
		}
	}
	for _, s := range all {
		if !s.test {
			continue
		}
		for _, d := range s.syntax.Decls {
			name := "init"
			if f, ok := d.(*ast.FuncDecl); ok {
				name = f.Name.Name
			}
			inBubble, last := 0, []bool(nil)
			ast.Inspect(d, func(n ast.Node) bool {
				if n == nil {
					if last[len(last)-1] {
						inBubble--
					}
					last = last[:len(last)-1]
					return true
				}
				bubble := isCall(n, "synctest", "Test")
				if call, ok := n.(*ast.CallExpr); ok {
					f, ok := call.Fun.(*ast.Ident)
					bubble = bubble || ok && bubbles[s.folder()+"."+f.Name]
				}
				if bubble {
					inBubble++
				}
				last = append(last, bubble)
				if inBubble == 0 && isCall(n, "time", "Sleep") {
					found = append(found, finding{s.folder() + "." + name, s.path, "a test sleeps; wait for a condition (internal/eventually), or use testing/synctest"})
				}
				return true
			})
		}
	}
	return found
}

// makesBubble reports whether a function takes a function, and calls synctest.Test.
func makesBubble(f *ast.FuncDecl) (makes bool) {
	takes := slices.ContainsFunc(f.Type.Params.List, func(p *ast.Field) bool { _, ok := p.Type.(*ast.FuncType); return ok })
	if takes && f.Body != nil {
		ast.Inspect(f.Body, func(n ast.Node) bool {
			makes = makes || isCall(n, "synctest", "Test")
			return true
		})
	}
	return makes
}

func isCall(n ast.Node, pkg, name string) bool {
	call, ok := n.(*ast.CallExpr)
	if !ok {
		return false
	}
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	x, ok := sel.X.(*ast.Ident)
	return ok && x.Name == pkg && sel.Sel.Name == name
}
