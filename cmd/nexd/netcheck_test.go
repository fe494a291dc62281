package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nexd/control"
	"nexd/internal/program"
	"nexd/netcheck"
	"nexd/node/state"
)

const (
	pinA = "aa00000000000000000000000000000000000000000000000000000000000000"
	pinB = "bb00000000000000000000000000000000000000000000000000000000000000"
	home = "https://mesh.example:8443"
)

// joinedState makes the state directory of a node that has joined a service.
func joinedState(t *testing.T, service string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if _, err := state.PublicKey(dir); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "identity.json")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	id := map[string]any{}
	if err := json.Unmarshal(b, &id); err != nil {
		t.Fatal(err)
	}
	at, err := control.ParseJoinURL(service)
	if err != nil {
		t.Fatal(err)
	}
	id["service"], id["node"] = at, "n1"
	if b, err = json.Marshal(id); err == nil {
		err = os.WriteFile(file, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestNetcheckAsksAsTheNodeOnlyItsOwnService(t *testing.T) {
	dir := joinedState(t, home+"/#pin="+pinA)
	for _, tt := range []struct {
		dir, url  string
		want, pin string // URL; want empty: wrong usage
		asNode    bool
	}{
		{dir, "", home, pinA, true},
		{dir, home, home, pinA, true},
		{dir, home + "/#pin=" + pinA, home, pinA, true},
		{dir, home + "/#pin=" + pinB, home, pinB, false},
		{dir, "https://other.example:8443", "https://other.example:8443", "", false},
		{t.TempDir(), home, home, "", false},
		{t.TempDir(), "", "", "", false},
		{"", "", "", "", false},
	} {
		c := &cli{StateDir: tt.dir}
		cfg, err := c.netcheckConfig(tt.url, tt.dir)
		if tt.want == "" {
			if code := exitCode(err); code != program.ExitUsage {
				t.Errorf("%q without a URL: exit code %d, %v", tt.dir, code, err)
			}
			continue
		}
		if err != nil || cfg.URL.Base() != tt.want || cfg.URL.Pin.String() != tt.pin || cfg.Key.IsZero() == tt.asNode || cfg.Relay != nil {
			t.Errorf("%q: %v pin %v as node %v, %v", tt.url, cfg.URL.Base(), cfg.URL.Pin, !cfg.Key.IsZero(), err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "identity.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := (&cli{StateDir: dir}).netcheckConfig(home, dir); err == nil {
		t.Error("a damaged state that was named is passed over")
	}
}

func TestNetcheckOfWhatIsNotThere(t *testing.T) {
	var out, errs bytes.Buffer
	code := run(t.Context(), []string{"netcheck", "--state-dir=" + t.TempDir(), "https://127.0.0.1:1"}, program.Streams{In: strings.NewReader(""), Out: &out, Err: &errs})
	if code != program.ExitFailed || !strings.Contains(out.String(), "refuses the connection") || !strings.Contains(out.String(), "no mesh here") || errs.Len() > 0 {
		t.Errorf("exit code %d\n%s%s", code, &out, &errs)
	}
	out.Reset()
	code = run(t.Context(), []string{"netcheck", "--json", "--state-dir=" + t.TempDir(), "https://127.0.0.1:1"}, program.Streams{In: strings.NewReader(""), Out: &out, Err: &errs})
	var r netcheck.Report
	if err := json.Unmarshal(out.Bytes(), &r); code != program.ExitFailed || err != nil || r.Works || r.Schema != netcheck.Schema || r.IPv4.Mapping != "unknown" {
		t.Errorf("exit code %d, %v\n%s", code, err, &out)
	}
}
