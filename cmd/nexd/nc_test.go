package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"nexd/agent/localapi"
	"nexd/internal/leak"
	"nexd/internal/program"
)

// stand is a control socket with a fake agent behind it.
type stand struct {
	localapi.Agent
	proxies []string
	keeps   bool // rules that are added

	service, relay string // URLs
}

func (s *stand) Status(context.Context) localapi.Status {
	return localapi.Status{Proxies: s.proxies, Service: localapi.Service{URL: s.service}, Relay: &localapi.Relay{URL: s.relay}}
}

func (s *stand) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, network, address)
}

func serveStand(t *testing.T, s *stand) (socket string) { return serveAgent(t, s) }

// serveAgent serves an agent's local API until the test ends.
func serveAgent(t *testing.T, s localapi.Agent) (socket string) {
	t.Helper()
	leak.Check(t)
	dir, err := os.MkdirTemp("", "st")
	if err != nil {
		t.Fatal(err)
	}
	ln, err := localapi.Listen(filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- localapi.Serve(ctx, ln, s, slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() { cancel(); <-done; os.RemoveAll(dir) })
	return ln.Addr().String()
}

func TestNC(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			b, _ := io.ReadAll(c) // answers only after the half-close
			c.Write(bytes.ToUpper(b))
			c.Close()
		}
	}()
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	socket := "--socket=" + serveStand(t, &stand{})
	var out, errs bytes.Buffer
	for _, host := range []string{"127.0.0.1", "127.0.0.1.", "[::ffff:127.0.0.1]"} {
		out.Reset()
		if code := run(t.Context(), []string{"nc", host, port, socket}, program.Streams{In: strings.NewReader("hello"), Out: &out, Err: &errs}); code != program.ExitFine || out.String() != "HELLO" {
			t.Errorf("%s: exit %d, %q, %s", host, code, &out, &errs)
		}
	}
	out.Reset()
	if code := run(t.Context(), []string{"nc", "127.0.0.1", "1", socket}, program.Streams{In: strings.NewReader(""), Out: &out, Err: &errs}); code != program.ExitFailed || !strings.Contains(errs.String(), "refused") {
		t.Errorf("a closed port: exit %d, %s", code, &errs)
	}
	if code := run(t.Context(), []string{"nc", "h", "1", "--socket=/nonexistent/s"}, program.Streams{In: strings.NewReader(""), Out: &out, Err: &errs}); code != program.ExitUnreachable {
		t.Errorf("no agent: exit %d", code)
	}
	if code := run(t.Context(), []string{"nc", "h"}, program.Streams{In: strings.NewReader(""), Out: &out, Err: &errs}); code != program.ExitUsage {
		t.Errorf("no port: exit %d", code)
	}
}

// An interrupted nc ends without a word: the user did it.
func TestNCInterrupted(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	socket := "--socket=" + serveStand(t, &stand{})
	ctx, interrupt := context.WithCancel(t.Context())
	go func() {
		if c, err := ln.Accept(); err == nil {
			defer c.Close()
			io.ReadFull(c, make([]byte, 5)) // it is connected and says nothing
			interrupt()
		}
	}()
	in, never := io.Pipe()
	defer never.Close()
	go never.Write([]byte("hello"))
	var out, errs bytes.Buffer
	if code := run(ctx, []string{"nc", "127.0.0.1", port, socket}, program.Streams{In: in, Out: &out, Err: &errs}); code != program.ExitFailed || errs.Len() > 0 {
		t.Errorf("exit %d, %q", code, &errs)
	}
}

func (s *stand) AddForward(_ context.Context, rule string) (localapi.Forward, error) {
	if strings.HasPrefix(rule, "-R ") {
		return localapi.Forward{Spec: rule, Listen: "100.64.0.1:9400 [fd74::1]:9400", Kept: true}, nil
	}
	return localapi.Forward{Spec: rule, Listen: "127.0.0.1:1", Kept: s.keeps}, nil
}

func TestForwardAddTellsWhereItListens(t *testing.T) {
	for rule, want := range map[string]string{
		"-L 1:a:2":    "listening on 127.0.0.1:1: -L 1:a:2\n",
		"-R 9400:a:2": "listening in the mesh on 100.64.0.1:9400 and [fd74::1]:9400: -R 9400:a:2\n",
	} {
		var out, errs bytes.Buffer
		flag, spec, _ := strings.Cut(rule, " ")
		code := run(t.Context(), []string{"forward", "add", flag, spec, "--socket=" + serveStand(t, &stand{keeps: true})}, program.Streams{Out: &out, Err: &errs})
		if code != program.ExitFine || out.String() != want || errs.Len() > 0 {
			t.Errorf("%s: exit %d, %q %q; want %q", rule, code, &out, &errs, want)
		}
	}
}

// A rule that works but could not be written down is not one that comes back.
func TestForwardThatIsNotKept(t *testing.T) {
	for _, keeps := range []bool{true, false} {
		var out, errs bytes.Buffer
		socket := "--socket=" + serveStand(t, &stand{keeps: keeps})
		code := run(t.Context(), []string{"forward", "add", "-L", "1:a:2", socket}, program.Streams{Out: &out, Err: &errs})
		if code != program.ExitFine || strings.Contains(errs.String(), "will not survive a restart") == keeps || !strings.Contains(out.String(), "127.0.0.1:1") {
			t.Errorf("kept %v: exit %d, %s%s", keeps, code, &out, &errs)
		}
	}
}

func TestEnv(t *testing.T) {
	for _, tt := range []struct {
		proxies []string
		args    string
		want    string
		code    int
	}{
		{[]string{"unix:/run/p", "127.0.0.1:1080"}, "", "export http_proxy='http://127.0.0.1:1080'\n", program.ExitFine},
		{[]string{"0.0.0.0:99"}, "", "export ALL_PROXY='socks5h://127.0.0.1:99'\n", program.ExitFine},
		{[]string{"[::]:99"}, "--shell=fish", "set -gx all_proxy 'socks5h://[::1]:99';\n", program.ExitFine},
		{nil, "--unset", "unset http_proxy\n", program.ExitFine},
		{[]string{"unix:/run/p"}, "", "", program.ExitFailed},
	} {
		socket := serveStand(t, &stand{proxies: tt.proxies})
		args := []string{"env", "--socket=" + socket}
		if tt.args != "" {
			args = append(args, tt.args)
		}
		var out, errs bytes.Buffer
		if code := run(t.Context(), args, program.Streams{Out: &out, Err: &errs}); code != tt.code || !strings.Contains(out.String(), tt.want) {
			t.Errorf("%v %s: exit %d, %s%s", tt.proxies, tt.args, code, &out, &errs)
		}
	}
}

// Without its service and relay there is no mesh, so a shell's programs reach them without the proxy,
// and what the shell excluded before stays excluded.
func TestEnvExceptions(t *testing.T) {
	t.Setenv("no_proxy", "192.168.0.0/16, .corp.example,localhost")
	t.Setenv("NO_PROXY", "build.example,.corp.example,$(id)'")
	socket := serveStand(t, &stand{proxies: []string{"127.0.0.1:1080"}, service: "https://mesh.example:8443", relay: "https://[2001:db8::5]/v1/relay"})
	const want = "localhost,127.0.0.1,::1,mesh.example,2001:db8::5,192.168.0.0/16,.corp.example,build.example"
	var out bytes.Buffer
	if code := run(t.Context(), []string{"env", "--socket=" + socket}, program.Streams{Out: &out, Err: &out}); code != program.ExitFine {
		t.Fatalf("exit %d: %s", code, &out)
	}
	for _, name := range []string{"no_proxy", "NO_PROXY"} {
		if !strings.Contains(out.String(), "export "+name+"='"+want+"'\n") {
			t.Errorf("no %s=%s in\n%s", name, want, &out)
		}
	}
	out.Reset()
	run(t.Context(), []string{"env", "--socket=" + socket, "--unset"}, program.Streams{Out: &out, Err: &out})
	if !strings.Contains(out.String(), "unset no_proxy\n") || !strings.Contains(out.String(), "unset NO_PROXY\n") {
		t.Error(out.String())
	}
}

func TestCompletion(t *testing.T) {
	for shell, want := range map[string]string{
		"bash": "complete -o default -F _nexd nexd", "zsh": "#compdef nexd", "fish": "-a status",
	} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), []string{"completion", shell}, program.Streams{Out: &out, Err: &errs}); code != program.ExitFine || !strings.Contains(out.String(), want) {
			t.Errorf("%s: exit %d, %s%s", shell, code, &out, &errs)
		}
		if shell != "bash" {
			continue
		}
		bash, err := exec.LookPath("bash")
		if err != nil {
			continue
		}
		for typed, want := range map[string]string{
			"nexd sta": "status", "nexd forward a": "add", "nexd --proxy-aut": "--proxy-auth-file", "nexd status --j": "--json", "nexd status --userspac": "",
		} {
			words := strings.Fields(typed)
			script := out.String() + "\nCOMP_WORDS=(" + typed + "); COMP_CWORD=" + string(rune('0'+len(words)-1)) + "; _nexd; echo \"${COMPREPLY[*]}\""
			got, err := exec.Command(bash, "-c", script).CombinedOutput()
			if err != nil || strings.TrimSpace(string(got)) != want {
				t.Errorf("%s completes to %q, %v; want %q", typed, got, err, want)
			}
		}
	}
	if code := run(t.Context(), []string{"completion", "tcsh"}, program.Streams{Out: new(bytes.Buffer), Err: new(bytes.Buffer)}); code != program.ExitUsage {
		t.Errorf("an unknown shell: exit %d", code)
	}
}
