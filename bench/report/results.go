//go:build linux

package report

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Results are all samples of a run, with the machine and the programs.
type Results struct {
	When      time.Time
	Took      string
	Machine   Machine
	Revision  string
	Modules   map[string]string // those that matter for speed
	Options   map[string]string
	Systems   []string
	Scenarios []*Scenario

	// StolenPercent is the share of the wanted processor time that other guests of
	// the host took during the run.
	StolenPercent float64
	StolenAllowed bool // tables are printed even if it is above StolenLimit
}

// Machine is what the figures depend on besides nexd.
type Machine struct {
	Processor, Kernel, Go, Congestion string
	MHz                               float64 // of the first core, when the run began; 0 = unknown
	Cores                             int
}

func (m Machine) String() string {
	clock := ""
	if m.MHz > 0 {
		clock = fmt.Sprintf(", %.0f MHz", m.MHz)
	}
	return fmt.Sprintf("%s%s, %d cores", m.Processor, clock, m.Cores)
}

// StolenLimit is the percentage of stolen processor time above which figures are
// not worth comparing.
const StolenLimit = 5.0

// Stolen is the metric of the stolen processor time while one system was measured.
const Stolen = "stolen_pct"

// Refused is an error if other guests took too much processor time and tables were
// not asked for all the same.
func (r *Results) Refused() error {
	if r.StolenPercent <= StolenLimit || r.StolenAllowed {
		return nil
	}
	return fmt.Errorf("refused: other guests of the host took %.1f %% of the processor time that this run wanted (stolen time in /proc/stat; the limit is %v %%); "+
		"run it again when the host is quieter, or print marked tables with -allow-stolen", r.StolenPercent, StolenLimit)
}

// mark returns the warning above the tables of a run that lost too much processor time.
func (r *Results) mark() string {
	if r.StolenPercent <= StolenLimit {
		return ""
	}
	return fmt.Sprintf("NOT COMPARABLE: %.1f %% of the processor time was stolen", r.StolenPercent)
}

// Scenario holds one sample of each system for each round.
type Scenario struct {
	Name, Title string
	Samples     map[string][]Sample
}

// Sample is the figures of one system in one round of a scenario, by metric name.
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

// measured returns the systems that it has samples of.
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

// Load reads the JSON of an earlier run.
func Load(path string) (*Results, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	r := new(Results)
	if err := json.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

// Save writes the JSON, once under its time and once as last.json. A refused run
// does not become last.json.
func (r *Results) Save(dir string) (string, error) {
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	path := filepath.Join(dir, r.When.Format("20060102-150405")+".json")
	paths := []string{path, filepath.Join(dir, "last.json")}
	if r.Refused() != nil {
		path = strings.TrimSuffix(path, ".json") + "-refused.json"
		paths = []string{path}
	}
	for _, p := range paths {
		if err := os.WriteFile(p, append(b, '\n'), 0o644); err != nil {
			return "", err
		}
	}
	return path, nil
}

func thisMachine(congestion string) Machine {
	m := Machine{Processor: "unknown", Go: runtime.Version(), Cores: runtime.NumCPU(), Congestion: congestion}
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		m.Processor, m.MHz = parseProcessor(string(b))
	}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		m.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	return m
}

// parseProcessor reads the first processor of /proc/cpuinfo. Family and model tell
// processors apart whose names say little; Arm has numbers only.
func parseProcessor(cpuinfo string) (name string, mhz float64) {
	field := map[string]string{}
	for line := range strings.Lines(cpuinfo) {
		key, value, ok := strings.Cut(line, ":")
		if !ok {
			break // the blank line after the first processor
		}
		field[strings.TrimSpace(key)] = strings.TrimSpace(value)
	}
	mhz, _ = strconv.ParseFloat(field["cpu MHz"], 64)
	switch {
	case field["model name"] != "" && field["cpu family"] != "":
		return fmt.Sprintf("%s (family %s, model %s)", field["model name"], field["cpu family"], field["model"]), mhz
	case field["model name"] != "":
		return field["model name"], mhz
	case field["CPU part"] != "":
		return fmt.Sprintf("Arm implementer %s, part %s", field["CPU implementer"], field["CPU part"]), mhz
	}
	return "unknown", mhz
}

// revision returns the git revision of the work tree, or "unknown".
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
