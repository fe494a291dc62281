package agent

import (
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"

	"nexd/internal/leak"
	"nexd/node"
)

// TestForwardsAddedLiveSurviveARestart also sees that those removed stay away,
// that a rule of the command line is not kept, and that a damaged rule harms only
// itself.
func TestForwardsAddedLiveSurviveARestart(t *testing.T) {
	leak.Check(t)
	routerDir, laptopDir := shortDir(t), shortDir(t)
	_, laptopMap := staticPair(t, routerDir, laptopDir, freeUDPPort(t))
	logs := new(logBuffer)
	cfg := Config{
		Config:      node.Config{StateDir: laptopDir, MapFile: laptopMap, Logger: slog.New(slog.NewTextHandler(logs, nil))},
		ProxyListen: []string{"off"}, Forwards: []string{"-L 0:node1:1", "-L 0:node1:1"},
	}
	r := run(t, cfg)
	if _, err := r.client().AddForward(t.Context(), "-L 0:Node1:2,node1:3"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.client().AddForward(t.Context(), "-R 99:localhost:4"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.client().AddForward(t.Context(), "-L 0:node1:1"); err == nil {
		t.Error("a rule is taken twice")
	}
	if err := r.client().RemoveForward(t.Context(), "-R 99:localhost:4"); err != nil {
		t.Fatal(err)
	}
	rules := func() (out []string) {
		fs, err := r.client().Forwards(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range fs {
			kept := ""
			if f.Kept {
				kept = " kept"
			}
			if f.Listen == "" {
				t.Errorf("%+v does not listen", f)
			}
			out = append(out, f.Spec+kept)
		}
		return out
	}
	want := "-L 0:node1:1; -L 0:node1:2,node1:3 kept"
	if got := strings.Join(rules(), "; "); got != want {
		t.Errorf("forwards %s, want %s", got, want)
	}
	r.stop()
	r = run(t, cfg)
	if got := strings.Join(rules(), "; "); got != want {
		t.Errorf("after a restart %s, want %s", got, want)
	}
	r.stop()
	both := cfg
	both.Forwards = append(both.Forwards, "-L 0:node1:2,node1:3") // by now on the command line, too
	r = run(t, both)
	if got := strings.Join(rules(), "; "); got != want {
		t.Errorf("on the command line, too: %s, want %s", got, want)
	}
	r.stop()
	path := laptopDir + "/" + forwardsFile
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	for _, content := range []string{`{"schema":1,"rules":["-L nonsense","-L 0:node1:2,node1:3","x"]}`, `{"schema":9}`, `{`} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		r = run(t, cfg)
		if strings.HasPrefix(content, `{"schema":1`) {
			if got := strings.Join(rules(), "; "); got != want {
				t.Errorf("beside damaged rules: %s, want %s", got, want)
			}
		} else if got := strings.Join(rules(), "; "); got != "-L 0:node1:1" {
			t.Errorf("with a damaged file: %s", got)
		}
		r.stop()
	}
	if s := logs.String(); !strings.Contains(s, "forward skipped") || !strings.Contains(s, "could not be restored") || !strings.Contains(s, "given twice") {
		t.Errorf("the log does not tell:\n%s", s)
	}
}

// logBuffer collects log lines of several goroutines.
type logBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
