package program_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nexd/internal/program"
)

func TestReadSecret(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	for text, want := range map[string]string{"secret\n": "secret", " s \r\n": "s", "": "", "two words": "", "a\nb": "", strings.Repeat("x", 4097): ""} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := program.ReadSecret("API token", file, nil)
		if got != want || (err == nil) != (want != "") || err != nil && !errors.As(err, new(program.UsageError)) {
			t.Errorf("%.20q: %q, %v", text, got, err)
		}
	}
	if got, err := program.ReadSecret("API token", "-", strings.NewReader("in\n")); got != "in" || err != nil {
		t.Errorf("standard input: %q, %v", got, err)
	}
	if _, err := program.ReadSecret("API token", "/nonexistent/f", nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}
