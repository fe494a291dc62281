// Demo is `make demo`: it runs a service, a router node and a laptop node on this machine,
// as the current user, and fetches a page through the mesh.
//
// It shows every command before it runs it, uses free ports and a temporary
// directory, and removes everything at the end, also on Ctrl-C.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func main() {
	bin := flag.String("bin", "bin", "directory of nexd and nexservice")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := run(ctx, *bin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// page is the page of the demo's "container".
const page = "hello from the container behind node1"

// demo is the running processes.
type demo struct {
	bin, dir string
	out      io.Writer
	running  []*exec.Cmd
}

func run(ctx context.Context, bin string, out io.Writer) (err error) {
	bin, err = filepath.Abs(bin)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "nexd-demo")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	d := &demo{bin: bin, dir: dir, out: out}
	defer func() { err = errors.Join(err, d.down()) }()
	began := time.Now()
	if err := d.steps(ctx); err != nil {
		return err
	}
	d.say("It worked, in %.1f s. Next, try the walkthrough in README.md on your own hosts:", time.Since(began).Seconds())
	fmt.Fprint(out, "  bin/nexservice bootstrap --db=nexd.db --user=YOU@EXAMPLE.ORG --password-file=- --reg-key-out=reg.key --public-url=https://HOST:8443\n"+
		"  bin/nexservice serve --db=nexd.db --listen=:8443 --stun-listen=:3478 --stun-listen=:3479\n"+
		"  bin/nexd router --advertise-cidr=172.24.0.0/24 --reg-key-file=reg.key https://HOST:8443\n")
	return nil
}

func (d *demo) steps(ctx context.Context) error {
	container, err := serveContainer(ctx)
	if err != nil {
		return err
	}
	ports, err := freePorts(4)
	if err != nil {
		return err
	}
	service := fmt.Sprintf("127.0.0.1:%d", ports[0])

	d.say("1. The service: set up a database, then serve it.")
	password := filepath.Join(d.dir, "password")
	if err := os.WriteFile(password, []byte("only for this demo\n"), 0o600); err != nil {
		return err
	}
	if err := d.do(ctx, "nexservice", "bootstrap", "--db=nexd.db", "--user=you@example.org", "--password-file=password", "--reg-key-out=reg.key", "--public-url=https://"+service); err != nil {
		return err
	}
	if _, err := d.start(ctx, "nexservice", "serve", "--db=nexd.db", "--listen="+service, "--public-url=https://"+service); err != nil {
		return err
	}

	d.say("2. A router node. A web server of this demo on %s stands in for a container; in the mesh it is 10.99.0.10.", container)
	if _, err := d.start(ctx, "nexd", "router", "--advertise-cidr=10.99.0.10/32=127.0.0.1/32", "--allow-local="+container,
		"--userspace", "--proxy-listen=off", "--hostname=node1", "--state-dir=node1", "--reg-key-file=reg.key", "https://"+service); err != nil {
		return err
	}

	d.say("3. A laptop node: no root, no open port.")
	_, port, _ := net.SplitHostPort(container)
	proxy := fmt.Sprintf("127.0.0.1:%d", ports[1])
	forwarded := fmt.Sprintf("127.0.0.1:%d", ports[2])
	if _, err := d.start(ctx, "nexd", "--userspace", "--proxy-listen="+proxy, "-L", fmt.Sprintf("%d:10.99.0.10:%s", ports[2], port),
		"--hostname=laptop", "--state-dir=laptop", "--reg-key-file=reg.key", "https://"+service); err != nil {
		return err
	}

	d.say("4. The page, fetched through the mesh in three ways.")
	target := "http://10.99.0.10:" + port + "/"
	for _, via := range []string{"socks5h://" + proxy, "http://" + proxy} {
		if err := d.fetch(ctx, via, target); err != nil {
			return err
		}
	}
	if err := d.fetch(ctx, "", "http://"+forwarded+"/"); err != nil {
		return err
	}

	d.say("5. The status of both nodes.")
	for _, state := range []string{"node1", "laptop"} {
		if err := d.do(ctx, "nexd", "status", "--state-dir="+state); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) say(format string, args ...any) {
	fmt.Fprintf(d.out, "\n"+format+"\n", args...)
}

// show prints a command as typed in a shell.
func (d *demo) show(args []string) { fmt.Fprintln(d.out, "$", strings.Join(args, " ")) }

func (d *demo) command(ctx context.Context, args []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(d.bin, args[0]), args[1:]...)
	cmd.Dir = d.dir
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// do runs a command and waits for its end.
func (d *demo) do(ctx context.Context, args ...string) error {
	d.show(args)
	cmd := d.command(ctx, args)
	cmd.Stdout, cmd.Stderr = indent(d.out), indent(d.out)
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", strings.Join(args, " "), err)
	}
	return nil
}

// start runs a command in the background and waits for its ready line. If the command
// fails, the error contains its log.
func (d *demo) start(ctx context.Context, args ...string) (ready string, err error) {
	d.show(args)
	cmd := d.command(ctx, args)
	logName := filepath.Join(d.dir, fmt.Sprintf("log%d", len(d.running)))
	logFile, err := os.Create(logName)
	if err != nil {
		return "", err
	}
	defer logFile.Close()
	cmd.Stderr = logFile
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	d.running = append(d.running, cmd)
	line, err := firstLine(out)
	if err != nil || !strings.HasPrefix(line, "ready ") {
		said, _ := os.ReadFile(logName)
		return "", fmt.Errorf("%s did not start: %q, %w\n%s", strings.Join(args, " "), line, err, said)
	}
	fmt.Fprintln(d.out, "  "+line)
	return line, nil
}

func firstLine(r io.Reader) (string, error) {
	var line []byte
	for b := make([]byte, 1); ; {
		if _, err := io.ReadFull(r, b); err != nil {
			return string(line), err
		}
		if b[0] == '\n' {
			return string(line), nil
		}
		line = append(line, b[0])
	}
}

// fetch gets the page through a proxy or directly, and shows the equivalent curl
// command.
func (d *demo) fetch(ctx context.Context, proxy, target string) error {
	shown := []string{"curl"}
	tr := &http.Transport{DisableKeepAlives: true}
	if proxy != "" {
		shown = append(shown, "-x", proxy)
		u, err := url.Parse(proxy)
		if err != nil {
			return err
		}
		tr.Proxy = http.ProxyURL(u)
	}
	d.show(append(shown, target))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return err
	}
	resp, err := (&http.Client{Transport: tr, Timeout: 20 * time.Second}).Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(b), page) {
		return fmt.Errorf("fetch %s: status %s, %q, %w", target, resp.Status, b, err)
	}
	fmt.Fprintln(d.out, "  "+strings.TrimSpace(string(b)))
	return nil
}

// down stops all processes, the newest first.
func (d *demo) down() error {
	if len(d.running) == 0 {
		return nil
	}
	d.say("Stopping everything.")
	var errs []error
	for i := len(d.running) - 1; i >= 0; i-- {
		cmd := d.running[i]
		cmd.Process.Signal(syscall.SIGTERM)
		err := cmd.Wait()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// serveContainer is the web server that stands in for a container.
func serveContainer(ctx context.Context) (addr string, err error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, page)
	})}
	context.AfterFunc(ctx, func() { srv.Close() })
	go srv.Serve(ln)
	return ln.Addr().String(), nil
}

// freePorts returns unused TCP ports of the loopback interface.
func freePorts(n int) (ports []int, err error) {
	for range n {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer ln.Close() // at the end, so the ports differ
		ports = append(ports, ln.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// indent puts two spaces before every line.
func indent(w io.Writer) io.Writer { return &indenter{w: w, fresh: true} }

type indenter struct {
	w     io.Writer
	fresh bool
}

func (i *indenter) Write(b []byte) (int, error) {
	var out []byte
	for _, c := range b {
		if i.fresh {
			out = append(out, "  "...)
		}
		out = append(out, c)
		i.fresh = c == '\n'
	}
	_, err := i.w.Write(out)
	return len(b), err
}
