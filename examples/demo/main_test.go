package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDemo is `make demo` as a test: it needs the binaries, which make e2e builds.
func TestDemo(t *testing.T) {
	bin := os.Getenv("NEXD_BIN")
	if os.Getenv("NEXD_E2E") == "" || bin == "" {
		t.Skip("end-to-end tests run by make e2e")
	}
	var out bytes.Buffer
	if err := run(t.Context(), bin, &out); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	if n := strings.Count(out.String(), page); n != 3 {
		t.Errorf("the page came %d times, want 3\n%s", n, &out)
	}
	for _, want := range []string{"$ nexservice serve", "$ curl -x socks5h://", "PEER", "It worked"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(os.TempDir(), "nexd-demo*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestIndent(t *testing.T) {
	var out bytes.Buffer
	w := indent(&out)
	for _, s := range []string{"a", "b\nc", "\n", "d\n"} {
		if n, err := w.Write([]byte(s)); n != len(s) || err != nil {
			t.Fatalf("Write(%q) = %d, %v", s, n, err)
		}
	}
	if got := out.String(); got != "  ab\n  c\n  d\n" {
		t.Errorf("%q", got)
	}
}

func TestFreePortsDiffer(t *testing.T) {
	ports, err := freePorts(3)
	if err != nil || ports[0] == ports[1] || ports[1] == ports[2] || ports[0] == ports[2] {
		t.Errorf("%v, %v", ports, err)
	}
}
