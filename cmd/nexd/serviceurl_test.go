package main

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"nexd/internal/program"
)

// A service URL that cannot be one is wrong usage.
func TestAMalformedServiceURLIsWrongUsage(t *testing.T) {
	for _, url := range []string{"https://", "ftp://x", "https://x#pin=1234"} {
		for _, args := range [][]string{{url}, {"netcheck", url}} {
			var out, errs bytes.Buffer
			code := run(context.Background(), append(args, "--state-dir="+t.TempDir()), program.Streams{In: strings.NewReader(""), Out: &out, Err: &errs})
			if code != program.ExitUsage {
				t.Errorf("%v: exit code %d: %s", args, code, errs.String())
			}
		}
	}
}
