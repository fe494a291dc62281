//go:build linux

package report

import (
	"encoding/json"
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

// Results are all samples of a run, and the machine and programs they come from.
type Results struct {
	When      time.Time
	Took      string
	Machine   Machine
	Revision  string
	Modules   map[string]string // the ones that matter for speed
	Options   map[string]string
	Systems   []string
	Scenarios []*Scenario
}

// Machine is what the figures depend on besides nexd.
type Machine struct {
	Processor, Kernel, Go, Congestion string
	Cores                             int
}

// Scenario holds one sample of each system for each round.
type Scenario struct {
	Name, Title string
	Samples     map[string][]Sample
}

// Sample is what one system gave in one round of a scenario, by metric name.
type Sample map[string]float64

// New begins the results of a run on this machine. options says how the run was
// started; congestion is the TCP congestion control inside the namespaces.
func New(systems []string, congestion string, options map[string]string) *Results {
	return &Results{
		When: time.Now().UTC().Truncate(time.Second), Machine: thisMachine(congestion), Revision: revision(), Modules: modules(),
		Systems: systems, Options: options,
	}
}

// Scenario adds an empty scenario.
func (r *Results) Scenario(name, title string) *Scenario {
	s := &Scenario{Name: name, Title: title, Samples: map[string][]Sample{}}
	r.Scenarios = append(r.Scenarios, s)
	return s
}

// Add appends a system's sample of one more round.
func (s *Scenario) Add(system string, m Sample) {
	s.Samples[system] = append(s.Samples[system], m)
}

// measured are those of the systems that it has samples of.
func (s *Scenario) measured(systems []string) []string {
	return slices.DeleteFunc(slices.Clone(systems), func(n string) bool { return len(s.Samples[n]) == 0 })
}

// of summarizes one metric of one system.
func (s *Scenario) of(system, metric string) summary {
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
func (r *Results) find(name string) *Scenario {
	for _, s := range r.Scenarios {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// Save writes the JSON, once under its time and once as last.json.
func (r *Results) Save(dir string) (string, error) {
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

func thisMachine(congestion string) Machine {
	m := Machine{Processor: "unknown", Go: runtime.Version(), Cores: runtime.NumCPU(), Congestion: congestion}
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
