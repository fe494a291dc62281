package archtest

import (
	"fmt"
	"go/ast"
	"go/constant"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// limitRow is a row of docs/limits.md that names its constant: the value in the second cell, and
// FOLDER.NAME in the last one.
var limitRow = regexp.MustCompile("(?m)^\\| [^|]+ \\| ([^|]+) \\|.*\\| `([^`|]+)\\.([A-Za-z0-9]+)` \\|$")

// TestLimitsAreDocumented compares docs/limits.md with the constants.
func TestLimitsAreDocumented(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs", "limits.md"))
	if err != nil {
		t.Fatal(err)
	}
	rows := limitRow.FindAllStringSubmatch(string(page), -1)
	if len(rows) < 30 {
		t.Errorf("%d rows name a constant", len(rows))
	}
	for _, r := range rows {
		forms, err := limitForms(theSources(t), r[2], r[3])
		if err != nil {
			t.Errorf("%s.%s: %v", r[2], r[3], err)
		} else if !slices.ContainsFunc(forms, func(form string) bool { return says(r[1], form) }) {
			t.Errorf("the document says %q of %s.%s, which is %s", r[1], r[2], r[3], forms[0])
		}
	}
}

// says reports whether a cell names a value: alone, with its unit, as a prefix's length or in words.
func says(cell, value string) bool {
	return slices.ContainsFunc([]string{cell, strings.TrimPrefix(cell, "/")}, func(c string) bool {
		return c == value || strings.HasPrefix(c, value+" ")
	}) || strings.HasSuffix(cell, " "+value)
}

// limitForms returns how the document may write a constant.
func limitForms(all []source, folder, name string) ([]string, error) {
	exprs := map[string]ast.Expr{}
	for _, s := range all {
		if s.folder() != folder || s.test {
			continue
		}
		for _, d := range s.syntax.Decls {
			if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.CONST {
				for _, spec := range g.Specs {
					v := spec.(*ast.ValueSpec)
					for i, n := range v.Names {
						if i < len(v.Values) {
							exprs[n.Name] = v.Values[i]
						}
					}
				}
			}
		}
	}
	if exprs[name] == nil {
		return nil, fmt.Errorf("there is no such constant")
	}
	duration := false
	v, err := evaluate(exprs[name], exprs, &duration)
	if err != nil {
		return nil, err
	}
	n, _ := constant.Int64Val(v)
	if !duration {
		forms := []string{thousands(n)}
		for unit, size := range map[string]int64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30} {
			if n%size == 0 {
				forms = append(forms, fmt.Sprintf("%s %s", thousands(n/size), unit))
			}
		}
		return forms, nil
	}
	var forms []string
	for _, u := range []struct {
		unit string
		size time.Duration
	}{{"days", 24 * time.Hour}, {"h", time.Hour}, {"min", time.Minute}, {"s", time.Second}} {
		if d := time.Duration(n); d%u.size == 0 {
			forms = append(forms, fmt.Sprintf("%d %s", d/u.size, u.unit))
		}
	}
	return forms, nil
}

// evaluate returns the value of a constant's expression. duration is set if it has a unit of time.
func evaluate(e ast.Expr, known map[string]ast.Expr, duration *bool) (constant.Value, error) {
	switch e := e.(type) {
	case *ast.BasicLit:
		return constant.MakeFromLiteral(e.Value, e.Kind, 0), nil
	case *ast.ParenExpr:
		return evaluate(e.X, known, duration)
	case *ast.Ident:
		if x := known[e.Name]; x != nil {
			return evaluate(x, known, duration)
		}
	case *ast.SelectorExpr:
		units := map[string]time.Duration{"Millisecond": time.Millisecond, "Second": time.Second, "Minute": time.Minute, "Hour": time.Hour}
		if d, ok := units[e.Sel.Name]; ok && fmt.Sprint(e.X) == "time" {
			*duration = true
			return constant.MakeInt64(int64(d)), nil
		}
	case *ast.BinaryExpr:
		x, err := evaluate(e.X, known, duration)
		if err != nil {
			return nil, err
		}
		y, err := evaluate(e.Y, known, duration)
		if err != nil {
			return nil, err
		}
		if e.Op == token.SHL {
			n, _ := constant.Uint64Val(y)
			return constant.Shift(x, e.Op, uint(n)), nil
		}
		return constant.BinaryOp(x, e.Op, y), nil
	}
	return nil, fmt.Errorf("its value is not written out in its package")
}

// thousands writes 16384 as 16,384.
func thousands(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
