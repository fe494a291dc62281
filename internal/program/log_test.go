package program_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"nexd/internal/program"
)

type named struct{ name string }

func (n named) String() string { return n.name }

// A value has the same text in both formats.
func TestLogFormats(t *testing.T) {
	attrs := []any{
		"took", 1500 * time.Millisecond, "err", errors.New("cut off"), "addr", netip.MustParseAddr("192.0.2.1"),
		"of", named{"node1"}, "n", 3, "prefixes", []netip.Prefix{netip.MustParsePrefix("172.24.0.0/24")}, "nobody", nil,
	}
	var text, lines bytes.Buffer
	program.NewLogger(&text, program.LogText, slog.LevelInfo).Info("hello", attrs...)
	log := program.NewLogger(&lines, program.LogJSON, slog.LevelInfo).With("room", "test")
	log.Debug("not this")
	log.Info("hello", attrs...)

	var got map[string]any
	if err := json.Unmarshal(lines.Bytes(), &got); err != nil || strings.Count(lines.String(), "\n") != 1 {
		t.Fatalf("%v\n%s", err, &lines)
	}
	if _, err := time.Parse(time.RFC3339, got["time"].(string)); err != nil {
		t.Error(err)
	}
	for key, want := range map[string]any{
		"level": "INFO", "msg": "hello", "room": "test", "took": "1.5s", "err": "cut off", "addr": "192.0.2.1", "of": "node1", "n": 3.0, "nobody": nil,
	} {
		if got[key] != want {
			t.Errorf("%s is %v, want %v", key, got[key], want)
		}
	}
	if p, ok := got["prefixes"].([]any); !ok || len(p) != 1 || p[0] != "172.24.0.0/24" {
		t.Errorf("prefixes are %v", got["prefixes"])
	}
	for _, want := range []string{"level=INFO msg=hello", "took=1.5s", `err="cut off"`, "addr=192.0.2.1", "of=node1"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %s in %s", want, &text)
		}
	}
}
