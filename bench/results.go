//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// results are all samples of a run and what they were measured with.
type results struct {
	When      time.Time
	Took      string
	Machine   machine
	Revision  string
	Modules   map[string]string // the ones that matter for speed
	Options   map[string]string
	Systems   []string
	Scenarios []*scenarioResults
}

type machine struct {
	Processor, Kernel, Go, Congestion string
	Cores                             int
}

// scenarioResults holds, by system, one sample for each round.
type scenarioResults struct {
	Name, Title string
	Samples     map[string][]sample
}

func newResults(o options) *results {
	return &results{
		When: time.Now().UTC().Truncate(time.Second), Machine: thisMachine(o), Revision: revision(), Modules: modules(), Systems: o.systems,
		Options: map[string]string{
			"rounds": fmt.Sprint(o.rounds), "window": o.window.String(), "loss-window": o.lossWindow.String(),
			"delay": o.delay.String(), "loss": fmt.Sprint(o.loss), "rate": fmt.Sprint(o.rate),
		},
	}
}

func (r *results) scenario(sc scenario) *scenarioResults {
	s := &scenarioResults{Name: sc.name, Title: sc.title, Samples: map[string][]sample{}}
	r.Scenarios = append(r.Scenarios, s)
	return s
}

func (s *scenarioResults) add(system string, m sample) {
	s.Samples[system] = append(s.Samples[system], m)
}

// measured are those of the systems that it has samples of.
func (s *scenarioResults) measured(systems []string) []string {
	return slices.DeleteFunc(slices.Clone(systems), func(n string) bool { return len(s.Samples[n]) == 0 })
}

// of summarizes one metric of one system.
func (s *scenarioResults) of(system, metric string) summary {
	if s == nil {
		return summarize(nil)
	}
	var v []float64
	for _, m := range s.Samples[system] {
		if x, ok := m[metric]; ok {
			v = append(v, x)
		}
	}
	return summarize(v)
}

// find returns the scenario of that name, nil if it was not run.
func (r *results) find(name string) *scenarioResults {
	for _, s := range r.Scenarios {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// save writes the JSON, once under its time and once as last.json.
func (r *results) save(dir string) (string, error) {
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	path := filepath.Join(dir, r.When.Format("20060102-150405")+".json")
	for _, p := range []string{path, filepath.Join(dir, "last.json")} {
		if err := os.WriteFile(p, append(b, '\n'), 0o644); err != nil {
			return "", err
		}
	}
	return path, nil
}

func thisMachine(o options) machine {
	m := machine{Processor: "unknown", Go: runtime.Version(), Cores: runtime.NumCPU(), Congestion: o.congestion}
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if _, after, ok := strings.Cut(string(b), "model name\t: "); ok {
			m.Processor, _, _ = strings.Cut(after, "\n")
		}
	}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		m.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	return m
}

// revision of the work tree that is measured, as far as git knows.
func revision() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

func modules() map[string]string {
	found := map[string]string{}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return found
	}
	for _, d := range info.Deps {
		if strings.HasPrefix(d.Path, "golang.zx2c4.com/wireguard") || strings.HasPrefix(d.Path, "gvisor.dev/") || d.Path == "golang.org/x/crypto" {
			found[d.Path] = d.Version
		}
	}
	return found
}
