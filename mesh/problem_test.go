package mesh

import (
	"fmt"
	"testing"
	"time"
)

func ExampleProblem() {
	now := time.Now()
	p := Problem{Code: "service-unreachable", What: "service unreachable", Why: "no route to host", WayOut: "peers stay connected"}
	fmt.Println(p)
	fmt.Println(p.At(now)) // nobody knows since when
	// Output:
	// service unreachable: no route to host; peers stay connected
	// service unreachable: no route to host; peers stay connected
}

func TestProblemAt(t *testing.T) {
	began := time.Date(2026, 12, 1, 12, 3, 4, 0, time.Local)
	for _, tt := range []struct {
		p     Problem
		after time.Duration
		want  string
	}{
		{Problem{What: "UDP does not pass", Since: began}, 40 * time.Second, "UDP does not pass since 12:03:04 (40s)"},
		{Problem{What: "x", Since: began, Why: "y", WayOut: "z"}, 90 * time.Minute, "x since 12:03:04 (1h30m0s): y; z"},
		{Problem{What: "x", Since: began, WayOut: "z"}, 48 * time.Hour, "x since 2026-12-01 12:03:04 (48h0m0s); z"},
		{Problem{What: "x", Since: began}, -time.Second, "x since 12:03:04 (0s)"}, // a clock that was set back
	} {
		if got := tt.p.At(began.Add(tt.after)); got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}
