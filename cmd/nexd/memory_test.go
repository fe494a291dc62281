package main

import (
	"errors"
	"testing"

	"nexd/internal/program"
)

func TestParseMemory(t *testing.T) {
	for in, want := range map[string]int64{
		"": 0, "64MiB": 64 << 20, "64M": 64 << 20, "1GiB": 1 << 30, "2G": 2 << 30, "65536KiB": 64 << 20, "67108864": 64 << 20, "67108864B": 64 << 20,
	} {
		if got, err := parseMemory(in); got != want || err != nil {
			t.Errorf("%q = %d, %v; want %d", in, got, err, want)
		}
	}
	for _, in := range []string{"47MiB", "0", "-64MiB", "64 MiB", "64TiB", "MiB", "sixty", "9223372036854775807GiB"} {
		if got, err := parseMemory(in); !errors.As(err, new(program.UsageError)) {
			t.Errorf("%q = %d, %v; want wrong usage", in, got, err)
		}
	}
}
