package main

import (
	"bytes"
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nexd/agent"
	"nexd/internal/program"
	"nexd/node"
)

// parsed is the agent's configuration that a command line gives.
func parsed(t *testing.T, stdin string, args ...string) (agent.Config, error) {
	t.Helper()
	var cfg agent.Config
	c := &cli{std: program.Streams{In: strings.NewReader(stdin), Out: new(bytes.Buffer), Err: new(bytes.Buffer)}}
	parser, err := newParser(c)
	if err != nil {
		t.Fatal(err)
	}
	if c.parsed, err = parser.Parse(args); err != nil {
		return cfg, err
	}
	r := c.Router
	if c.parsed.Selected().Name == "join" {
		r = routerCmd{ServiceURL: c.Join.ServiceURL}
	}
	return c.config(r)
}

const url = "https://mesh.example:8443/#pin=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

func TestSharedFlagsWorkBeforeAndAfterTheCommand(t *testing.T) {
	for _, args := range [][]string{
		{"--userspace", "--hostname=n", "router", "--advertise-cidr=10.1.0.0/24", url},
		{"router", "--advertise-cidr=10.1.0.0/24", "--userspace", "--hostname=n", url},
		{"router", url, "--advertise-cidr=10.1.0.0/24", "--hostname=n", "--userspace"},
		{"router", "--advertise-cidr", "10.1.0.0/24", "--hostname", "n", url, "--userspace"},
	} {
		cfg, err := parsed(t, "", args...)
		if err != nil || cfg.Mode != node.Userspace || cfg.Hostname != "n" || cfg.ServiceURL != url || len(cfg.Advertise) != 1 {
			t.Errorf("%q = %+v, %v", args, cfg, err)
		}
	}
	for _, args := range [][]string{{url}, {"join", url}, {"--state-dir=x", "join", url}, {"--state-dir=x", url}} {
		if cfg, err := parsed(t, "", args...); err != nil || cfg.ServiceURL != url {
			t.Errorf("%q = %q, %v", args, cfg.ServiceURL, err)
		}
	}
}

func TestPrecedenceIsFlagThenEnvironment(t *testing.T) {
	t.Setenv("NEXD_HOSTNAME", "from-env")
	t.Setenv("NEXD_SERVICE_URL", "https://env.example")
	t.Setenv("NEXD_PROXY_LISTEN", "127.0.0.1:1,127.0.0.1:2")
	cfg, err := parsed(t, "")
	if err != nil || cfg.Hostname != "from-env" || cfg.ServiceURL != "https://env.example" || len(cfg.ProxyListen) != 2 {
		t.Errorf("environment alone: %+v, %v", cfg, err)
	}
	cfg, err = parsed(t, "", "--hostname=flag", "--proxy-listen=off", url)
	if err != nil || cfg.Hostname != "flag" || cfg.ServiceURL != url || len(cfg.ProxyListen) != 1 {
		t.Errorf("flags over it: %+v, %v", cfg, err)
	}
}

func TestExclusiveFlagsAreSettledBySource(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte("nexdkey_file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		env  map[string]string
		args []string
		mode node.Mode
		key  string
		err  string
	}{
		{"both flags", nil, []string{"--userspace", "--tun"}, 0, "", "cannot be used together"},
		{"both in the environment", map[string]string{"NEXD_USERSPACE": "true", "NEXD_TUN": "1"}, nil, 0, "", "cannot be used together"},
		{"flag beats environment", map[string]string{"NEXD_USERSPACE": "true"}, []string{"--tun"}, node.TUN, "", ""},
		{"and the other way", map[string]string{"NEXD_TUN": "true"}, []string{"--userspace"}, node.Userspace, "", ""},
		{"environment alone", map[string]string{"NEXD_USERSPACE": "true"}, nil, node.Userspace, "", ""},
		{"no", nil, nil, node.Auto, "", ""},
		{"two keys", nil, []string{"--reg-key=a", "--reg-key-file=" + key}, 0, "", "cannot be used together"},
		{"key flag beats file variable", map[string]string{"NEXD_REG_KEY_FILE": key}, []string{"--reg-key=flag"}, 0, "flag", ""},
		{"file flag beats key variable", map[string]string{"NEXD_REG_KEY": "env"}, []string{"--reg-key-file=" + key}, 0, "nexdkey_file", ""},
		{"key on standard input", nil, []string{"--reg-key-file=-"}, 0, "stdin-key", ""},
		{"no such file", nil, []string{"--reg-key-file=/nonexistent/key"}, 0, "", "/nonexistent/key"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for k, v := range tt.env {
				t.Setenv(k, v)
			}
			cfg, err := parsed(t, " stdin-key\n", append(tt.args, url)...)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("error = %v, want one with %q", err, tt.err)
				}
				return
			}
			if err != nil || cfg.Mode != tt.mode || cfg.RegKey != tt.key {
				t.Errorf("mode %v key %q, %v; want %v %q", cfg.Mode, cfg.RegKey, err, tt.mode, tt.key)
			}
		})
	}
}

func TestWrongUsage(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"statsu"}, "did you mean nexd status?"},
		{[]string{"ruoter", url}, "did you mean nexd router?"},
		{[]string{"mesh.example"}, "starts with https://"},
		{[]string{"--userspace", "mesh.example:8443"}, "starts with https://"},
		{[]string{"router", "mesh.example", "--advertise-cidr=10.0.0.0/24"}, "starts with https://"},
		{[]string{"router", url}, "--advertise-cidr"},
		{[]string{"router", "--advertise-cidr=10.0.0.1/24", url}, "did you mean 10.0.0.0/24"},
		{[]string{"router", "--advertise-cidr=10.0.0.0/24=10.1.0.0/25", url}, "differ in size"},
		{[]string{"router", "--advertise-cidr=10.0.0.0/24", "--allow-local=192.0.2.1", url}, "192.0.2.1"},
		{[]string{"--advertise-cidr=10.0.0.0/24", url}, "--advertise-cidr is a flag of router"},
		{[]string{"join", "--allow-local=127.0.0.1:80", url}, "--allow-local is a flag of router"},
		{[]string{"router", "--advertise-cidr=0.0.0.0/0", url}, "default route"},
		{[]string{"router", "--advertise-cidr=127.0.0.0/8", url}, "loopback"},
		{[]string{"router", "--advertise-cidr=100.64.0.0/16", url}, "from which nodes get their own addresses"},
		{[]string{"router", "--advertise-cidr=10.0.0.0/16", "--advertise-cidr=10.0.1.0/24", url}, "--advertise-cidr=10.0.0.0/16 and --advertise-cidr=10.0.1.0/24 overlap"},
		{[]string{"router", "--advertise-cidr=10.0.0.0/24=10.1.0.0/24", "--advertise-cidr=10.0.0.0/24=10.2.0.0/24", url}, "overlap"},
		{[]string{"status", "--userspace"}, "is a flag of join and router"},
		{[]string{"--userspace", "status"}, "is a flag of join and router"},
		{[]string{"status", url}, "unexpected argument"},
		{[]string{"up", url}, `"up" is not a command; to join, run: nexd ` + url},
		{[]string{url, "https://two.example"}, "one service URL"},
		{[]string{"-L", "80", url}, `-L "80"`},
		{[]string{"-R", "x:host:80", url}, `"x"`},
		{[]string{"--mtu=100", url}, "--mtu=100"},
		{[]string{"--listen-port=70000", url}, "70000"},
		{[]string{"--proxy-listen=0.0.0.0:1080", url}, "loopback"},
		{[]string{"--proxy-listen=1080", url}, "ADDRESS:PORT"},
		{[]string{"--metrics-listen=9100", url}, "--metrics-listen=9100 is not of the form [HOST]:PORT"},
		{[]string{"--proxy-outside=maybe", url}, "must be refuse or direct"},
		{[]string{"--proxy-auth-file=/nonexistent/users", url}, "/nonexistent/users"},
		{[]string{"--proxy-max-conns=-1", url}, "must be at least 1"},
		{[]string{"--proxy-listen=off", "--proxy-listen=127.0.0.1:1", url}, "cannot be combined"},
		{[]string{"--advertise-endpoint=example.com:1", url}, "example.com:1"},
		{[]string{"--advertise-endpoint=192.0.2.1:0", url}, "192.0.2.1:0"},
		{[]string{"--reg-key-file=" + empty, url}, "exactly one key"},
		{[]string{"--map=m.json", url}, "cannot be used together"},
		{[]string{"--nonsense", url}, "--nonsense"},
		{[]string{"ping"}, "<target>"},
		{[]string{"--userspace", "--proxy-listen=off"}, "no service URL"},
		{[]string{"forward", "add"}, "exactly one forward"},
		{[]string{"forward", "add", "-L", "1:a:2", "-R", "1:a:2"}, "exactly one forward"},
		{[]string{"forward", "add", "-L", "1:a"}, "PORT:HOST:HOSTPORT"},
		{[]string{"forward", "list", "-L", "1:a:2"}, "is a flag of join and router"},
	} {
		var out, errs bytes.Buffer
		code := run(context.Background(), append([]string{"--state-dir=" + t.TempDir()}, tt.args...), program.Streams{In: strings.NewReader(""), Out: &out, Err: &errs})
		if code != program.ExitUsage || !strings.Contains(errs.String(), tt.want) || out.Len() > 0 {
			t.Errorf("nexd %q: exit %d, stdout %q, stderr %q; want exit 2 and %q", tt.args, code, &out, &errs, tt.want)
		}
	}
	// the first word alone, without a flag before it
	for word, want := range map[string]string{"statsu": "nexd status", "example.com": "https://"} {
		var errs bytes.Buffer
		if code := run(context.Background(), []string{word}, program.Streams{Out: new(bytes.Buffer), Err: &errs}); code != program.ExitUsage || !strings.Contains(errs.String(), want) {
			t.Errorf("nexd %s: exit %d, %q", word, code, &errs)
		}
	}
}

func TestLocalCommandsWithoutAnAgentExitWithThree(t *testing.T) {
	for _, args := range [][]string{{"status"}, {"status", "--json"}, {"ip"}, {"ping", "node1"}, {"ping", "--json", "node1"}, {"forward"}, {"forward", "list"}, {"forward", "add", "-L", "1:a:2"}, {"down"}} {
		var errs bytes.Buffer
		code := run(context.Background(), append(args, "--state-dir="+t.TempDir()), program.Streams{Out: new(bytes.Buffer), Err: &errs})
		if code != program.ExitUnreachable || !strings.Contains(errs.String(), "is not running") {
			t.Errorf("nexd %q: exit %d, %q", args, code, &errs)
		}
	}
}

func TestHelpAndVersion(t *testing.T) {
	for _, tt := range []struct {
		args       []string
		has, hasnt string
	}{
		{[]string{"--help"}, "router", "\x00"},
		{[]string{"router", "--help"}, "--reg-key-file", "\x00"},
		{[]string{"status", "--help"}, "--json", "--reg-key-file"},
		{[]string{"--help"}, "admin", "admin token"},
		{[]string{"forward", "--help"}, "remove", "--reg-key-file"},
		{[]string{"admin", "--help"}, "invitation", "--state-dir"},
		{[]string{"admin", "--help"}, "node", "device"},
		{[]string{"admin", "node", "--help"}, "approve", "Flags of join"},
		{[]string{"admin", "key", "create", "--help"}, "--insecure-http", "--userspace"},
		{[]string{"--version"}, "devel", "--"},
	} {
		var out, errs bytes.Buffer
		code := run(context.Background(), tt.args, program.Streams{Out: &out, Err: &errs})
		if code != program.ExitFine || !strings.Contains(out.String(), tt.has) || strings.Contains(out.String(), tt.hasnt) || errs.Len() > 0 {
			t.Errorf("nexd %q: exit %d\n%s%s", tt.args, code, &out, &errs)
		}
	}
}

func TestKeyPrintsTheSameKeyTwice(t *testing.T) {
	dir := t.TempDir()
	var first, second bytes.Buffer
	for _, out := range []*bytes.Buffer{&first, &second} {
		if code := run(context.Background(), []string{"key", "--state-dir=" + dir}, program.Streams{Out: out, Err: new(bytes.Buffer)}); code != program.ExitFine {
			t.Fatalf("exit %d", code)
		}
	}
	if first.String() != second.String() || len(first.String()) != 45 {
		t.Errorf("keys %q and %q", &first, &second)
	}
}

func TestReadyLine(t *testing.T) {
	four, six := netip.MustParseAddr("100.64.0.2"), netip.MustParseAddr("fd00::2")
	for _, tt := range []struct {
		r    agent.Ready
		want string
	}{
		{agent.Ready{Name: "laptop", Addresses: []netip.Addr{four, six}, Proxies: []string{"127.0.0.1:1080"}}, "ready laptop 100.64.0.2 fd00::2 proxy=127.0.0.1:1080\n"},
		{agent.Ready{Name: "n", Addresses: []netip.Addr{six}}, "ready n - fd00::2 proxy=off\n"},
		{agent.Ready{Name: "n", Addresses: []netip.Addr{four}, Proxies: []string{"a:1", "b:2"}}, "ready n 100.64.0.2 - proxy=a:1,b:2\n"},
	} {
		var out bytes.Buffer
		printReady(&out, tt.r)
		if out.String() != tt.want {
			t.Errorf("%q, want %q", out.String(), tt.want)
		}
	}
}
