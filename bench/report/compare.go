//go:build linux

package report

import (
	"fmt"
	"io"
	"math"
	"strconv"
)

// Compare prints the goals of several runs side by side, and the least of each: what
// may be claimed for all of these machines. Runs that lost too much processor time
// are shown but count for nothing.
func Compare(w io.Writer, runs []*Results) {
	head := []string{"", "against"}
	for i, r := range runs {
		fmt.Fprintf(w, "%d. %s", i+1, r.head())
		if mark := r.mark(); mark != "" {
			fmt.Fprintf(w, " (%s)", mark)
		}
		fmt.Fprintln(w)
		head = append(head, "run "+strconv.Itoa(i+1))
	}
	fmt.Fprintln(w)
	rows := [][]string{append(head, "least")}
	for _, g := range allGoals() {
		row, least := []string{g.what, g.against}, math.NaN()
		for _, r := range runs {
			v := g.value(r)
			row = append(row, g.figure(v))
			if r.mark() == "" {
				least = g.worse(least, v)
			}
		}
		if row = append(row, g.figure(least)); !math.IsNaN(least) {
			rows = append(rows, row)
		}
	}
	printTable(w, rows)
}

// figure is a value with its unit.
func (g goal) figure(v float64) string {
	if math.IsNaN(v) {
		return number(v)
	}
	return number(v) + g.unit
}

// worse is the value that claims less; a value that was not measured claims nothing.
func (g goal) worse(a, b float64) float64 {
	switch {
	case math.IsNaN(a):
		return b
	case math.IsNaN(b):
		return a
	case g.less:
		return max(a, b)
	}
	return min(a, b)
}
