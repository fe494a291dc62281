package main

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"nexd/agent"
	"nexd/internal/program"
	"nexd/node"
)

func writeConfig(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), configName)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// configured is the agent's configuration from a command line with a config file.
func configured(t *testing.T, args ...string) (agent.Config, error) {
	t.Helper()
	c := &cli{std: program.Streams{In: strings.NewReader(""), Out: new(bytes.Buffer), Err: new(bytes.Buffer)}}
	var err error
	if c.file, err = findConfig(args); err != nil {
		return agent.Config{}, err
	}
	p, err := newParser(c, kong.Resolvers(c.file))
	if err != nil {
		t.Fatal(err)
	}
	if c.parsed, err = p.Parse(args); err != nil {
		return agent.Config{}, err
	}
	if err := c.checkFile(); err != nil {
		return agent.Config{}, err
	}
	r := c.Router
	if c.parsed.Selected().Name == "join" {
		r = routerCmd{ServiceURL: c.Join.ServiceURL}
	}
	return c.config(r)
}

// TestPrecedence proves flag, environment, file for a text, a list, a number, a
// boolean and the service URL.
func TestPrecedence(t *testing.T) {
	path := writeConfig(t, `
# a comment
service-url: https://file.example
hostname: file
mtu: 1300
userspace: true
proxy-listen: ["127.0.0.1:1", "127.0.0.1:2"]
metrics-listen: 127.0.0.1:9101
local-forward:
  - 1:a:1,b:2
  - "2:a:2"
`)
	cfg, err := configured(t, "--config="+path)
	if err != nil || cfg.ServiceURL != "https://file.example" || cfg.Hostname != "file" || cfg.MTU != 1300 || cfg.Mode != node.Userspace ||
		len(cfg.ProxyListen) != 2 || cfg.MetricsListen != "127.0.0.1:9101" || !slices.Equal(cfg.Forwards, []string{"-L 1:a:1,b:2", "-L 2:a:2"}) {
		t.Fatalf("file alone: %+v, %v", cfg, err)
	}
	t.Setenv("NEXD_CONFIG", path)
	t.Setenv("NEXD_HOSTNAME", "env")
	t.Setenv("NEXD_MTU", "1301")
	t.Setenv("NEXD_PROXY_LISTEN", "off")
	t.Setenv("NEXD_SERVICE_URL", "https://env.example")
	t.Setenv("NEXD_LOCAL_FORWARD", "3:a:3,4:a:4")
	t.Setenv("NEXD_TUN", "true") // beats the file's opposite
	cfg, err = configured(t)
	if err != nil || cfg.ServiceURL != "https://env.example" || cfg.Hostname != "env" || cfg.MTU != 1301 || cfg.Mode != node.TUN ||
		!slices.Equal(cfg.ProxyListen, []string{"off"}) || !slices.Equal(cfg.Forwards, []string{"-L 3:a:3", "-L 4:a:4"}) {
		t.Fatalf("environment over file: %+v, %v", cfg, err)
	}
	cfg, err = configured(t, "--hostname=flag", "--mtu=1302", "--proxy-listen=127.0.0.1:9", "-L", "5:a:5", "--userspace", "https://flag.example")
	if err != nil || cfg.ServiceURL != "https://flag.example" || cfg.Hostname != "flag" || cfg.MTU != 1302 || cfg.Mode != node.Userspace ||
		!slices.Equal(cfg.ProxyListen, []string{"127.0.0.1:9"}) || !slices.Equal(cfg.Forwards, []string{"-L 5:a:5"}) {
		t.Fatalf("flag over both: %+v, %v", cfg, err)
	}
}

func TestDefaultConfigIsReadIfItIsThere(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Log("root's is /etc/nexd/nexd.yaml, which a test leaves alone")
	}
	dir := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", dir)
	if _, err := configured(t, url); err != nil {
		t.Errorf("without a file: %v", err)
	}
	if _, err := configured(t, "--config="+filepath.Join(dir, "none"), url); err == nil {
		t.Error("a file that is named and not there is no error")
	}
}

func TestConfigFaults(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"hostnme: x", `nexd.yaml:1: "hostnme" cannot be set in the config file; did you mean hostname?`},
		{"\nhelp: true", `:2: "help" cannot be set`},
		{"json: true", `"json" cannot be set`},
		{"config: x", `"config" cannot be set`},
		{"- a\n- b", "expected FLAG: VALUE on each line"},
		{"hostname: [a, b]", "takes one value"},
		{"hostname: {a: b}", "must be a string or a list of strings"},
		{"hostname:", "must be a string or a list of strings"},
		{"hostname: a\nhostname: b", "is set twice"},
		{"mtu: many", "many"},
		{"mtu: 5", "--mtu=5"},
		{"a: [", "did not find"},
		{"local-forward: [nonsense]", `-L "nonsense"`},
		{"proxy-listen: 0.0.0.0:1080", "--proxy-allow-open"},
		{"metrics-listen: localhost", "--metrics-listen=localhost"},
		{"advertise-cidr: 10.0.0.1/24", "did you mean 10.0.0.0/24"},
	} {
		path := writeConfig(t, tt.text)
		var out, errs bytes.Buffer
		if code := run(t.Context(), []string{"config", "check", path}, program.Streams{Out: &out, Err: &errs}); code != program.ExitFailed && code != program.ExitUsage || !strings.Contains(errs.String(), tt.want) {
			t.Errorf("check of %q: exit %d, %s%s; want %q", tt.text, code, &out, &errs, tt.want)
		}
		if strings.HasPrefix(tt.text, "advertise") {
			continue // of router only
		}
		errs.Reset()
		if code := run(t.Context(), []string{"--config=" + path, url}, program.Streams{Out: &out, Err: &errs}); code != program.ExitUsage || !strings.Contains(errs.String(), tt.want) {
			t.Errorf("join with %q: exit %d, %s%s; want %q", tt.text, code, &out, &errs, tt.want)
		}
	}
	path := writeConfig(t, "hostnme: x")
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"status", "--config=" + path, "--socket=/nonexistent"}, program.Streams{Out: &out, Err: &errs}); code != program.ExitUnreachable || !strings.Contains(errs.String(), "faults") {
		t.Errorf("a local command with a file with faults: exit %d, %s", code, &errs)
	}
}

func TestConfigCheckOfGoodFiles(t *testing.T) {
	for text, want := range map[string]string{
		"": "fine for nexd join, 0 keys", "# nothing\n": "0 keys",
		"service-url: https://x.example\nreg-key-file: \"-\"\nuserspace: yes\nlisten-port: 51820": "fine for nexd join, 4 keys",
		"advertise-cidr: [10.1.0.0/24]\nproxy-listen: unix:/run/nexd.proxy":                       "fine for nexd router, 2 keys",
	} {
		var out, errs bytes.Buffer
		if code := run(context.Background(), []string{"config", "check", writeConfig(t, text)}, program.Streams{Out: &out, Err: &errs}); code != program.ExitFine || !strings.Contains(out.String(), want) {
			t.Errorf("%q: exit %d, %s%s", text, code, &out, &errs)
		}
	}
}

func TestReread(t *testing.T) {
	path := writeConfig(t, "local-forward: [1:a:1]\nlog-level: info\nhostname: one\n")
	std := program.Streams{In: strings.NewReader(""), Out: new(bytes.Buffer), Err: new(bytes.Buffer)}
	c := cli{std: std, args: []string{"--config=" + path, url}, level: new(slog.LevelVar)}
	first := &cli{std: std}
	var err error
	if first.file, err = findConfig(c.args); err != nil {
		t.Fatal(err)
	}
	p, err := newParser(first, kong.Resolvers(first.file))
	if err != nil {
		t.Fatal(err)
	}
	ctx, err := p.Parse(c.args)
	if err != nil {
		t.Fatal(err)
	}
	now := settings(ctx)
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("local-forward: [2:a:2]\nproxy-listen: 127.0.0.1:9\nproxy-outside: direct\nlog-level: debug\nhostname: two\nmtu: 1300\n")
	for range 2 { // what needs a restart is said each time
		var change agent.Change
		if change, now, err = c.reread(now); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(change.Forwards, []string{"-L 2:a:2"}) || !slices.Equal(change.NeedRestart, []string{"--hostname", "--mtu"}) || c.level.Level() != slog.LevelDebug ||
			!slices.Equal(change.ProxyListen, []string{"127.0.0.1:9"}) || !change.Direct {
			t.Errorf("%+v, level %v", change, c.level.Level())
		}
	}
	write("hostname: [")
	if _, _, err := c.reread(now); err == nil {
		t.Error("a file that cannot be read changes something")
	}
}

func TestSplitRules(t *testing.T) {
	for in, want := range map[string]string{
		"1:a:1":                           "1:a:1",
		"1:a:1,b:2":                       "1:a:1,b:2",
		"1:a:1,2:b:2":                     "1:a:1 2:b:2",
		"1:a:1/udp,2:b:2,c:3/udp":         "1:a:1/udp 2:b:2,c:3/udp",
		"1:[fd00::1]:1,[fd00::2]:2":       "1:[fd00::1]:1,[fd00::2]:2",
		"1:/a,/b,2:/c":                    "1:/a,/b 2:/c",
		"/s:a:1,/t:b:2":                   "/s:a:1 /t:b:2",
		"127.0.0.1:1:a:1,b:2,[::1]:2:a:3": "127.0.0.1:1:a:1,b:2 [::1]:2:a:3",
	} {
		if got := strings.Join(splitRules([]string{in}), " "); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}
