// Notices prints the licences of all modules that are linked into the binaries, for
// THIRD_PARTY_NOTICES. Run it with `make notices`.
package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	if err := run(os.Stdout, []string{"linux", "darwin", "windows"}); err != nil {
		fmt.Fprintln(os.Stderr, "notices:", err)
		os.Exit(1)
	}
}

// module is a linked module and the directory of its source.
type module struct{ path, version, dir string }

func run(w io.Writer, systems []string) error {
	mods, err := linked(systems)
	if err != nil {
		return err
	}
	fmt.Fprint(w, "nexd is made with the following modules, under their own licences.\n")
	for _, m := range mods {
		texts, err := licences(m.dir)
		if err != nil {
			return fmt.Errorf("%s: %w", m.path, err)
		}
		fmt.Fprintf(w, "\n%s\n%s %s\n\n%s\n", strings.Repeat("=", 78), m.path, m.version, strings.Join(texts, "\n\n"))
	}
	return nil
}

// linked returns the modules of ./cmd/... on all systems, sorted by path.
func linked(systems []string) ([]module, error) {
	found := map[string]module{}
	for _, system := range systems {
		cmd := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}}\t{{.Version}}\t{{.Dir}}{{end}}{{end}}", "./cmd/...")
		cmd.Env = append(os.Environ(), "GOOS="+system, "CGO_ENABLED=0")
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("go list for %s: %w", system, err)
		}
		for line := range strings.Lines(string(out)) {
			if f := strings.Split(strings.TrimSpace(line), "\t"); len(f) == 3 {
				found[f[0]] = module{f[0], f[1], f[2]}
			}
		}
	}
	var mods []module
	for _, m := range found {
		mods = append(mods, m)
	}
	slices.SortFunc(mods, func(a, b module) int { return strings.Compare(a.path, b.path) })
	return mods, nil
}

// licences reads the licence and notice files at the root of a module. A module without
// one is an error, because nobody may ship it.
func licences(dir string) (texts []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	licensed := false
	for _, e := range entries {
		name := strings.ToUpper(e.Name())
		isLicence := strings.HasPrefix(name, "LICEN") || strings.HasPrefix(name, "COPYING")
		if e.IsDir() || !isLicence && !strings.HasPrefix(name, "NOTICE") && !strings.HasPrefix(name, "PATENTS") {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		licensed = licensed || isLicence
		texts = append(texts, strings.TrimSpace(string(b)))
	}
	if !licensed {
		return nil, fmt.Errorf("no licence file in %s", dir)
	}
	return texts, nil
}
