package main

import (
	"math"
	"strconv"
	"strings"

	"nexd/agent"
	"nexd/internal/program"
)

// units are the suffixes of a size; a number without one is in bytes. K, M and G are
// binary units, as for GOMEMLIMIT, systemd and Docker.
var units = []struct {
	suffix string
	bytes  int64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30},
	{"K", 1 << 10}, {"M", 1 << 20}, {"G", 1 << 30},
	{"B", 1}, {"", 1},
}

// parseMemory reads --memory-limit; empty means no limit.
func parseMemory(s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	for _, u := range units {
		number, ok := strings.CutSuffix(s, u.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(number, 10, 64)
		switch {
		case err != nil || n < 0 || n > math.MaxInt64/u.bytes:
			return 0, program.Usagef("--memory-limit=%s is not a size such as 64MiB", s)
		case n*u.bytes < agent.MinMemoryLimit:
			return 0, program.Usagef("--memory-limit=%s is too small; an idle node with a few connections needs %d MiB", s, agent.MinMemoryLimit>>20)
		}
		return n * u.bytes, nil
	}
	return 0, program.Usagef("--memory-limit=%s is not a size such as 64MiB", s)
}
