//go:build linux

package report

import (
	"fmt"
	"math"
)

// goal is a goal for nexd: a floor and an aim.
type goal struct {
	what, against string
	value         func(r *Results) float64
	least, aim    float64
	less          bool // smaller is better
	unit          string
}

// against is the ratio of nexd to another system in one metric of one scenario.
func against(scenario, metric, base string) func(*Results) float64 {
	return share("nexd", scenario, metric, base)
}

// share is the ratio of two systems in one metric of one scenario.
func share(system, scenario, metric, base string) func(*Results) float64 {
	return func(r *Results) float64 {
		s := r.find(scenario)
		return ratio(s.of(system, metric), s.of(base, metric))
	}
}

func own(scenario, metric string) func(*Results) float64 {
	return func(r *Results) float64 { return r.find(scenario).of("nexd", metric).Median }
}

// within is the ratio of two metrics of nexd.
func within(scenario, metric, base string) func(*Results) float64 {
	return func(r *Results) float64 {
		s := r.find(scenario)
		return ratio(s.of("nexd", metric), s.of("nexd", base))
	}
}

func allGoals() []goal {
	var g []goal
	for _, m := range []string{"down1", "up1", "down8", "up8"} {
		g = append(g, goal{what: m, against: "wggo", value: against("fast", m+"_mbit", "wggo"), least: 1, aim: 1.4, unit: "×"})
	}
	for _, m := range []string{"down1", "up1"} {
		g = append(g, goal{what: m, against: "stock", value: against("fast", m+"_mbit", "stock"), least: 4, aim: 6, unit: "×"})
	}
	for _, m := range []string{"down1", "up1", "down8", "up8"} {
		g = append(g, goal{what: "CPU s/GB " + m, against: "wggo", value: against("fast", m+"_cpu", "wggo"), least: 0.9, aim: 0.6, less: true, unit: "×"})
	}
	g = append(g,
		goal{what: "median round trip under load", against: "idle", value: within("fast", "load_p50_us", "rtt_p50_us"), least: 6, aim: 3, less: true, unit: "×"},
		goal{what: "new connections/s, 32 workers", against: "stock", value: against("fast", "conn32_rate", "stock"), least: 1.4, aim: 2, unit: "×"},
		goal{what: "peak memory A", value: own("fast", "peak_mib_a"), least: 80, aim: 40, less: true, unit: " MiB"},
		goal{what: "peak memory B", value: own("fast", "peak_mib_b"), least: 80, aim: 40, less: true, unit: " MiB"},
		goal{what: "idle connection A", value: own("fast", "conn_kib_a"), least: 30, aim: 16, less: true, unit: " KiB"},
		goal{what: "idle connection B", value: own("fast", "conn_kib_b"), least: 30, aim: 16, less: true, unit: " KiB"})
	for _, m := range []string{"down1", "up1"} {
		g = append(g, goal{what: "long path " + m, against: "plain TCP", value: against("long", m+"_mbit", "raw"), least: 0.8, aim: 0.95, unit: "×"})
	}
	for _, m := range []string{"down1", "up1"} {
		g = append(g, goal{what: "lossy path " + m, against: "plain TCP", value: against("loss", m+"_mbit", "raw"), least: 1, aim: 2, unit: "×"})
	}
	for _, m := range []string{"down1", "up1"} {
		for _, c := range []struct {
			system     string
			least, aim float64
		}{{"nexd-relay-udp", 0.5, 0.75}, {"nexd-relay-ws", 0.25, 0.4}} {
			g = append(g, goal{what: c.system + " " + m, against: "direct", least: c.least, aim: c.aim, unit: "×", value: share(c.system, "fast", m+"_mbit", "nexd")})
		}
	}
	return g
}

// goals returns the table of the goals for which the run has figures.
func goals(r *Results) [][]string {
	rows := [][]string{{"", "against", "nexd", "at least", "aim", ""}}
	for _, g := range allGoals() {
		v := g.value(r)
		if math.IsNaN(v) {
			continue
		}
		sign := "≥"
		if g.less {
			sign = "≤"
		}
		rows = append(rows, []string{g.what, g.against, number(v) + g.unit, fmt.Sprintf("%s %v%s", sign, g.least, g.unit), fmt.Sprintf("%s %v%s", sign, g.aim, g.unit), g.verdict(v)})
	}
	return rows
}

func (g goal) verdict(v float64) string {
	reached := func(bound float64) bool { return g.less && v <= bound || !g.less && v >= bound }
	switch {
	case reached(g.aim):
		return "aim"
	case reached(g.least):
		return "floor"
	}
	return "short"
}

// Untold returns the goals for which r has no figures.
func (r *Results) Untold() (names []string) {
	for _, g := range allGoals() {
		if math.IsNaN(g.value(r)) {
			names = append(names, g.what+" against "+g.against)
		}
	}
	return names
}
