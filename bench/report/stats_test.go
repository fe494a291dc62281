//go:build linux

package report

import (
	"math"
	"testing"
)

func TestSummarize(t *testing.T) {
	for _, tt := range []struct {
		values []float64
		want   summary
	}{
		{[]float64{3}, summary{3, 3, 3, 1}},
		{[]float64{5, 1, 3}, summary{3, 1, 5, 3}},
		{[]float64{4, 1, 3, 2}, summary{2.5, 1, 4, 4}},
	} {
		if got := summarize(tt.values); got != tt.want {
			t.Errorf("summarize(%v) = %+v, want %+v", tt.values, got, tt.want)
		}
	}
	if got := summarize(nil); got.N != 0 || !math.IsNaN(got.Median) {
		t.Errorf("summarize(nil) = %+v", got)
	}
}

func TestRatio(t *testing.T) {
	two, four := summarize([]float64{2}), summarize([]float64{4})
	if got := ratio(four, two); got != 2 {
		t.Errorf("ratio = %v", got)
	}
	for _, pair := range [][2]summary{{summarize(nil), two}, {two, summarize(nil)}, {two, summarize([]float64{0})}} {
		if got := ratio(pair[0], pair[1]); !math.IsNaN(got) {
			t.Errorf("ratio of %v = %v, want none", pair, got)
		}
	}
}
