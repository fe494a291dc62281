package e2e

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// crossing is the result of one pair.
type crossing struct {
	pair
	answered, direct time.Duration // after the first packet; 0: never
	back             time.Duration // after the NATs' flush, until data came again
	mbits            float64
	wrong            []string
}

func (c *crossing) errorf(format string, args ...any) {
	c.wrong = append(c.wrong, fmt.Sprintf(format, args...))
}

// way is the kind of path and the time until it existed.
func (c *crossing) way() (string, time.Duration) {
	if c.direct > 0 {
		return "direct", c.direct
	}
	return "relay", c.answered
}

func (c *crossing) String() string {
	way, took := c.way()
	return fmt.Sprintf("%s after %v, first answer after %v; NATs flushed: data after %v; iperf3 %.0f Mbit/s", way, took, c.answered, c.back, c.mbits)
}

func median(sorted []time.Duration) time.Duration { return sorted[len(sorted)/2] }

// table is the table of docs/paths.md.
func table(t *testing.T, pairs []pair, seen map[string]*crossing) string {
	var b strings.Builder
	b.WriteString("| from, to ")
	for _, s := range natSites {
		fmt.Fprintf(&b, "| %s ", s.name)
	}
	fmt.Fprintf(&b, "|\n|%s", strings.Repeat("---|", len(natSites)+1))
	row := ""
	times := map[string][]time.Duration{}
	for _, p := range pairs {
		if p.from.name != row {
			if row != "" {
				b.WriteString("|")
			}
			row = p.from.name
			fmt.Fprintf(&b, "\n| **%s** ", row)
		}
		c := seen[p.String()]
		way, took := c.way()
		fmt.Fprintf(&b, "| %s %d ms; %.1f s ", way, took.Milliseconds(), c.back.Seconds())
		times[way+", after the first packet"] = append(times[way+", after the first packet"], took)
		times[way+", data after the flush"] = append(times[way+", data after the flush"], c.back)
	}
	b.WriteString("|")
	for _, what := range slices.Sorted(maps.Keys(times)) {
		slices.Sort(times[what])
		fmt.Fprintf(&b, "\n%s: median %v, slowest %v", what, median(times[what]).Round(time.Millisecond), slices.Max(times[what]).Round(time.Millisecond))
	}
	if direct := times["direct, after the first packet"]; len(direct) == 0 || median(direct) > promise {
		t.Errorf("direct paths take more than %v", promise)
	}
	return b.String()
}
