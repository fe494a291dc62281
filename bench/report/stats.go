//go:build linux

package report

import (
	"math"
	"slices"
)

// summary is the median and the range of some samples.
type summary struct {
	Median, Min, Max float64
	N                int
}

// summarize returns the summary of values; without values, N is 0.
func summarize(values []float64) summary {
	if len(values) == 0 {
		return summary{Median: math.NaN(), Min: math.NaN(), Max: math.NaN()}
	}
	v := slices.Sorted(slices.Values(values))
	n := len(v)
	return summary{Median: (v[(n-1)/2] + v[n/2]) / 2, Min: v[0], Max: v[n-1], N: n}
}

// ratio returns the ratio of two medians, or NaN if one is missing or zero.
func ratio(a, b summary) float64 {
	if a.N == 0 || b.N == 0 || b.Median == 0 {
		return math.NaN()
	}
	return a.Median / b.Median
}
