package program_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"

	"nexd/internal/program"
)

func TestUsageErrorsAreFoundInOthers(t *testing.T) {
	err := fmt.Errorf("line 3: %w", program.Usagef("bad value %q: %w", "x", io.EOF))
	var usage program.UsageError
	if !errors.As(err, &usage) || !errors.Is(err, io.EOF) || usage.Error() != `bad value "x": EOF` {
		t.Errorf("%v, usage %v", err, usage)
	}
}

func TestVersionIsNeverEmpty(t *testing.T) {
	if program.Version() == "" {
		t.Error("no version")
	}
}

func TestOutput(t *testing.T) {
	var out bytes.Buffer
	if err := program.WriteJSON(&out, map[string]string{"url": "https://a/?b&c"}); err != nil || out.String() != "{\n  \"url\": \"https://a/?b&c\"\n}\n" {
		t.Errorf("JSON %v: %s", err, out.String())
	}
	out.Reset()
	if err := program.WriteTable(&out, "NAME PREFIXES", [][]string{{"node1", "172.24.0.0/24"}, {"a", "-"}}); err != nil || out.String() != "NAME   PREFIXES\nnode1  172.24.0.0/24\na      -\n" {
		t.Errorf("table %v:\n%s", err, out.String())
	}
}
