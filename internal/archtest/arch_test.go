package archtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

const (
	module = "nexd/"
	root   = "../.."
)

type pkg struct {
	ImportPath, Dir, Doc      string
	GoFiles                   []string
	Imports                   []string
	TestGoFiles, XTestGoFiles []string
}

// folder is where the package is, below the repository's root.
func (p pkg) folder() string { return strings.TrimPrefix(p.ImportPath, module) }

// packages are those of this module, as `go list` sees them on this system.
var packages = sync.OnceValues(func() (pkgs []pkg, err error) {
	cmd := exec.Command("go", "list", "-e", "-json", "./...")
	cmd.Dir = root
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs, nil
		} else if err != nil {
			return nil, err
		}
		pkgs = append(pkgs, p)
	}
})

func list(t *testing.T) []pkg {
	t.Helper()
	pkgs, err := packages()
	if err != nil || len(pkgs) < 3 {
		t.Fatalf("go list found %d packages: %v", len(pkgs), err)
	}
	return pkgs
}

func TestPackagesImportOnlyLowerFloors(t *testing.T) {
	plan, _ := thePlan(t)
	for _, p := range list(t) {
		from := p.folder()
		if _, ok := plan.of(from); !ok {
			t.Error(plan.imports(from, from))
			continue
		}
		for _, imp := range p.Imports {
			if to, ours := strings.CutPrefix(imp, module); !ours {
				continue
			} else if problem := plan.imports(from, to); problem != "" {
				t.Error(problem)
			}
		}
	}
}

func TestHeavyImportsStayInTheirRoom(t *testing.T) {
	plan, _ := thePlan(t)
	for _, p := range list(t) {
		for _, imp := range p.Imports {
			if problem := plan.importsHeavy(p.folder(), imp); problem != "" {
				t.Error(problem)
			}
		}
	}
}

func TestTheDocumentNamesWhatExists(t *testing.T) {
	plan, text := thePlan(t)
	for _, problem := range missing(plan, text, func(path string) bool {
		_, err := os.Stat(filepath.Join(root, path))
		return err == nil
	}) {
		t.Error(problem)
	}
}

func TestEveryPackageIsDocumentedAndTested(t *testing.T) {
	plan, _ := thePlan(t)
	for _, p := range list(t) {
		if len(p.GoFiles) > 0 && p.Doc == "" {
			t.Errorf("%s has no package comment", p.folder())
		}
		if r, _ := plan.of(p.folder()); len(p.TestGoFiles)+len(p.XTestGoFiles) == 0 && !r.part {
			t.Errorf("%s has no test", p.folder())
		}
	}
}

func TestMeshIsALeaf(t *testing.T) {
	for _, p := range list(t) {
		if p.folder() != "mesh" {
			continue
		}
		for _, imp := range p.Imports {
			if strings.Contains(imp, ".") || strings.HasPrefix(imp, module) {
				t.Errorf("mesh imports %s; it may use the standard library only", imp)
			}
		}
	}
}
