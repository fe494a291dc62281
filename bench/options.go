//go:build linux

package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"nexd/bench/report"
)

// options are the options of the command line.
type options struct {
	systems     []string
	named       bool // -systems was given
	scenarios   []string
	measures    []string // empty: all measures of a scenario
	rounds      int
	window      time.Duration
	lossWindow  time.Duration
	delay       time.Duration // round trip of the long path
	loss        float64       // of the lossy path, each way, 0..1
	rate        int           // Mbit/s of the long path, 0 = as fast as it goes
	congestion  string        // of the kernel's TCP in the namespaces
	bin         string        // where the programs are
	out         string        // directory of the JSON
	perf        string        // directory for profiles, empty = none
	nexds       []variant     // other builds of nexd, or other environments
	allowStolen bool          // print the tables of a run that lost too much time to other guests
	compare     []string      // JSON of earlier runs to print side by side, instead of a run
	verbose     bool          // print the agents' logs
}

// variant is another build or environment of nexd, with a name.
type variant struct {
	name string
	env  []string
	path string
}

// systemNames returns the names of all systems.
func systemNames() []string {
	return []string{"raw", "nexd", "stock", "wggo", "nexd-tun", "nexd-relay-udp", "nexd-relay-ws"}
}

func parseOptions(args []string, stderr io.Writer) (options, error) {
	var o options
	var systems, scenarios, measures string
	var quick, compare bool
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.BoolVar(&quick, "quick", false, "a first look: the fast path only, 2 rounds of 1 s windows")
	f.StringVar(&systems, "systems", strings.Join(systemNames(), ","), "which to measure")
	f.StringVar(&scenarios, "scenarios", "", "which paths: "+strings.Join(scenarioNames(), ",")+" (default all)")
	f.StringVar(&measures, "measures", "", "which measures: "+strings.Join(measureNames(), ",")+" (default all)")
	f.IntVar(&o.rounds, "rounds", 5, "how often everything is repeated")
	f.DurationVar(&o.window, "window", 1500*time.Millisecond, "how long one measure takes")
	f.DurationVar(&o.lossWindow, "loss-window", 30*time.Second, "how long one measure on the lossy path takes")
	f.DurationVar(&o.delay, "delay", 40*time.Millisecond, "round trip of the long path")
	f.Float64Var(&o.loss, "loss", 0.001, "share of packets the lossy path drops, each way")
	f.IntVar(&o.rate, "rate", 0, "Mbit/s that the long path carries, 0 = as fast as the machine can")
	f.StringVar(&o.congestion, "congestion", "cubic", "the kernel's TCP congestion control in the namespaces")
	f.StringVar(&o.bin, "bin", "", "directory of nexd, link, stocknet and wgtun (default: where bench itself is)")
	f.StringVar(&o.out, "out", "bench/results", "directory for the JSON")
	f.StringVar(&o.perf, "perf", "", "directory for perf profiles of both agents, one for each measure")
	f.BoolVar(&o.verbose, "v", false, "print the end of what the agents said on standard error")
	f.BoolVar(&o.allowStolen, "allow-stolen", false, fmt.Sprintf("print tables, marked, even if more than %v %% of the processor time was stolen by other guests of the host", report.StolenLimit))
	f.BoolVar(&compare, "compare", false, "measure nothing; print the goals of earlier runs side by side, and the least of each; the arguments are JSON files")
	f.Func("nexd", "a further nexd to measure, as NAME=PATH or 'NAME=VAR=VALUE PATH'; may be repeated", func(s string) error {
		v, err := parseVariant(s)
		o.nexds = append(o.nexds, v)
		return err
	})
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if compare {
		o.compare = f.Args()
		if len(o.compare) == 0 {
			return o, errors.New("-compare needs at least one JSON file of an earlier run")
		}
		return o, nil
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	set := map[string]bool{}
	f.Visit(func(fl *flag.Flag) { set[fl.Name] = true })
	if quick {
		o.quicken(set)
		if scenarios == "" {
			scenarios = "fast"
		}
		if !set["systems"] {
			systems = strings.Join(slices.DeleteFunc(systemNames(), func(n string) bool { return n == "nexd-tun" || isNexdRelay(n) }), ",")
		}
	}
	if quick && measures == "" { // it takes too long for a first look
		measures = strings.Join(slices.DeleteFunc(measureNames(), func(m string) bool { return m == mIdle }), ",")
	}
	o.named = set["systems"]
	o.systems, o.scenarios, o.measures = split(systems), split(scenarios), split(measures)
	for _, v := range o.nexds {
		o.systems = append(o.systems, v.name)
	}
	return o, o.check()
}

// quicken shortens the run, except for options that were given.
func (o *options) quicken(set map[string]bool) {
	if !set["rounds"] {
		o.rounds = 2
	}
	if !set["window"] {
		o.window = time.Second
	}
	if !set["loss-window"] {
		o.lossWindow = 5 * time.Second
	}
}

// check sets defaults and refuses unknown names.
func (o *options) check() error {
	if len(o.scenarios) == 0 {
		o.scenarios = scenarioNames()
	}
	known := append(systemNames(), variantNames(o.nexds)...)
	for _, c := range []struct {
		what         string
		given, known []string
	}{{"system", o.systems, known}, {"scenario", o.scenarios, scenarioNames()}, {"measure", o.measures, measureNames()}} {
		for _, g := range c.given {
			if !slices.Contains(c.known, g) {
				return fmt.Errorf("no %s is called %q; there are %s", c.what, g, strings.Join(c.known, ", "))
			}
		}
	}
	switch {
	case o.rounds < 1:
		return fmt.Errorf("%d rounds are too few", o.rounds)
	case o.window < 100*time.Millisecond || o.lossWindow < 100*time.Millisecond:
		return fmt.Errorf("a window under 100ms is too short for processor time that is counted in 10ms")
	case o.loss < 0 || o.loss >= 1:
		return fmt.Errorf("loss %v is not a share between 0 and 1", o.loss)
	}
	if o.bin == "" {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		o.bin = filepath.Dir(self)
	}
	return nil
}

// described returns the options that are stored with the results.
func (o *options) described() map[string]string {
	return map[string]string{
		"rounds": fmt.Sprint(o.rounds), "window": o.window.String(), "loss-window": o.lossWindow.String(),
		"delay": o.delay.String(), "loss": fmt.Sprint(o.loss), "rate": fmt.Sprint(o.rate),
	}
}

func (o *options) wants(name string) bool {
	return len(o.measures) == 0 || slices.Contains(o.measures, name)
}

// parseVariant reads NAME=PATH or "NAME=VAR=VALUE VAR=VALUE PATH".
func parseVariant(s string) (variant, error) {
	name, rest, ok := strings.Cut(s, "=")
	fields := strings.Fields(rest)
	if !ok || name == "" || len(fields) == 0 {
		return variant{}, fmt.Errorf("want NAME=PATH, not %q", s)
	}
	v := variant{name: name, env: fields[:len(fields)-1], path: fields[len(fields)-1]}
	for _, e := range v.env {
		if !strings.Contains(e, "=") {
			return v, fmt.Errorf("%q in %q is not VAR=VALUE", e, s)
		}
	}
	return v, nil
}

func variantNames(vs []variant) (names []string) {
	for _, v := range vs {
		names = append(names, v.name)
	}
	return names
}

func split(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' })
}
