//go:build linux

package report

import (
	"fmt"
	"io"
	"math"
	"strings"
	"unicode/utf8"
)

// Print prints a table for every scenario and one of the goals.
func Print(w io.Writer, r *Results) {
	fmt.Fprintf(w, "%s; %s rounds, windows of %s; took %s\n", r.head(), r.Options["rounds"], r.Options["window"], r.Took)
	fmt.Fprintln(w, "Medians [least–most]; /NAME is the ratio of nexd to NAME. A is the client's host, B the router's.")
	mark := r.mark()
	if mark != "" {
		mark = " (" + mark + ")"
	}
	for _, s := range r.Scenarios {
		fmt.Fprintf(w, "\n### %s: %s%s\n\n", s.Name, s.Title, mark)
		printTable(w, scenarioTable(s, s.measured(r.Systems)))
	}
	if rows := goals(r); len(rows) > 1 {
		fmt.Fprintf(w, "\n### where nexd stands%s\n\n", mark)
		printTable(w, rows)
	}
}

// head names the machine, the programs and the stolen processor time.
func (r *Results) head() string {
	return fmt.Sprintf("%v, %.1f %% of its time stolen, Linux %s, %s, kernel TCP %s; nexd at %s",
		r.Machine, r.StolenPercent, r.Machine.Kernel, r.Machine.Go, r.Machine.Congestion, r.Revision)
}

// scenarioTable has a row for every metric that any system has.
func scenarioTable(s *Scenario, systems []string) [][]string {
	head := append([]string{""}, systems...)
	for _, base := range systems {
		if base != "nexd" {
			head = append(head, "/"+base)
		}
	}
	rows := [][]string{head}
	for _, m := range metrics {
		row, any := []string{m.title}, false
		for _, name := range systems {
			v := s.of(name, m.name)
			any = any || v.N > 0
			row = append(row, v.String())
		}
		if !any {
			continue
		}
		for _, base := range systems {
			if base != "nexd" {
				of := math.NaN()
				if m.name != Stolen {
					of = ratio(s.of("nexd", m.name), s.of(base, m.name))
				}
				row = append(row, times(of))
			}
		}
		rows = append(rows, row)
	}
	return rows
}

// printTable writes Markdown whose columns also line up as plain text.
func printTable(w io.Writer, rows [][]string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for n, row := range rows {
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i > 0 {
				cell, pad = pad+cell, ""
			}
			fmt.Fprintf(w, "| %s%s ", cell, pad)
		}
		fmt.Fprintln(w, "|")
		if n == 0 {
			for i, width := range widths {
				line := strings.Repeat("-", width+1)
				if i > 0 {
					line += ":"
				} else {
					line += "-"
				}
				fmt.Fprint(w, "|", line)
			}
			fmt.Fprintln(w, "|")
		}
	}
}

func (s summary) String() string {
	switch s.N {
	case 0:
		return "–"
	case 1:
		return number(s.Median)
	}
	return fmt.Sprintf("%s [%s–%s]", number(s.Median), number(s.Min), number(s.Max))
}

// number formats v with a suitable number of digits.
func number(v float64) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v):
		return "–"
	case a >= 100:
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	case a == 0:
		return "0"
	default:
		return fmt.Sprintf("%.2f", v)
	}
}

func times(v float64) string {
	if math.IsNaN(v) {
		return "–"
	}
	return number(v) + "×"
}
