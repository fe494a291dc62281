package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// nobody is the user the nodes run as.
const nobody = 65534

// lab is a small internet of namespaces, which disappears at the end of the test.
type lab struct {
	t      *testing.T
	prefix string // of the namespaces' names
	dir    string // work directory, the nodes' user may enter it
	hosts  int
}

// labs counts labs, so each has unique names.
var labs atomic.Int32

func newLab(t *testing.T, tools ...string) *lab {
	t.Helper()
	enabled(t, tools...)
	dir, err := os.MkdirTemp("", "nexd-e2e")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	l := &lab{t: t, prefix: fmt.Sprintf("e%d%d-", os.Getpid()%100000, labs.Add(1)), dir: dir}
	l.netns("wan")
	l.in("wan", "ip", "link", "add", "br0", "type", "bridge")
	l.in("wan", "ip", "link", "set", "br0", "up")
	return l
}

// netns makes a namespace with its loopback up.
func (l *lab) netns(name string) {
	l.t.Helper()
	l.sh("ip", "netns", "add", l.prefix+name)
	l.t.Cleanup(func() { exec.Command("ip", "netns", "del", l.prefix+name).Run() })
	l.in(name, "ip", "link", "set", "lo", "up")
	l.in(name, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_unprivileged_port_start") // containers serve :80 as nobody
}

// host makes a namespace with an interface eth0 on the wan, with addresses given
// with their lengths.
func (l *lab) host(name string, addrs ...string) {
	l.t.Helper()
	l.netns(name)
	l.link(name, "eth0", "wan", fmt.Sprintf("h%d", l.hosts), addrs, nil)
	l.in("wan", "ip", "link", "set", fmt.Sprintf("h%d", l.hosts), "master", "br0")
	l.hosts++
}

// container makes a namespace behind host: host gets gateway addresses, the
// container its own, each with a length.
func (l *lab) container(name, host, gateway, addr string, more ...string) {
	l.t.Helper()
	l.netns(name)
	mine, theirs := []string{addr}, []string{gateway}
	for i := 0; i+1 < len(more); i += 2 {
		theirs, mine = append(theirs, more[i]), append(mine, more[i+1])
	}
	l.link(name, "eth0", host, "to-"+name, mine, theirs)
	for _, g := range theirs {
		gw, _, _ := strings.Cut(g, "/")
		l.in(name, "ip", "route", "add", "default", "via", gw)
	}
}

// link joins two namespaces by a veth pair.
func (l *lab) link(a, devA, b, devB string, addrsA, addrsB []string) {
	l.t.Helper()
	l.sh("ip", "link", "add", devA, "netns", l.prefix+a, "type", "veth", "peer", "name", devB, "netns", l.prefix+b)
	for _, end := range []struct {
		ns, dev string
		addrs   []string
	}{{a, devA, addrsA}, {b, devB, addrsB}} {
		for _, ad := range end.addrs {
			args := []string{"ip", "addr", "add", ad, "dev", end.dev}
			if strings.Contains(ad, ":") {
				args = append(args, "nodad")
			}
			l.in(end.ns, args...)
		}
		l.in(end.ns, "ip", "link", "set", end.dev, "up")
	}
}

func (l *lab) sh(args ...string) string {
	l.t.Helper()
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		l.t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// in runs a command as root in a namespace, which must succeed.
func (l *lab) in(ns string, args ...string) string {
	l.t.Helper()
	if args[0] == "ip" { // it can enter by itself, much faster
		return l.sh(append([]string{"ip", "-n", l.prefix + ns}, args[1:]...)...)
	}
	return l.sh(append([]string{"ip", "netns", "exec", l.prefix + ns}, args...)...)
}

// inside is a command in a namespace; the empty name is this machine's own.
func (l *lab) inside(ns string, args []string) []string {
	if ns == "" {
		return args
	}
	return append([]string{"ip", "netns", "exec", l.prefix + ns}, args...)
}

// try runs a command as an ordinary user in a namespace, for at most limit.
func (l *lab) try(ns string, limit time.Duration, args ...string) (stdout string, code int) {
	l.t.Helper()
	return l.tryAs(ns, limit, unprivileged(args))
}

// tryAs is try with the privileges in args.
func (l *lab) tryAs(ns string, limit time.Duration, args []string) (stdout string, code int) {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	full := l.inside(ns, args)
	cmd := exec.CommandContext(ctx, full[0], full[1:]...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.Dir = l.dir
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	if cmd.ProcessState == nil {
		l.t.Fatalf("%s: %v", strings.Join(args, " "), err)
	}
	if err != nil {
		out.WriteString(errs.String())
	}
	return out.String(), cmd.ProcessState.ExitCode()
}

// must is try, and fails the test unless the command succeeds.
func (l *lab) must(ns string, limit time.Duration, args ...string) string {
	l.t.Helper()
	out, code := l.try(ns, limit, args...)
	if code != 0 {
		l.t.Fatalf("%s: exit code %d\n%s", strings.Join(args, " "), code, out)
	}
	return out
}

// unprivileged makes a command run as an ordinary user with an empty capability bounding
// set.
func unprivileged(args []string) []string {
	wrap := []string{"setpriv", "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all"}
	if inUserNamespace() {
		wrap = append(wrap, "env", "--") // root of a user namespace; caps are cut by the bounding set at exec
	} else {
		wrap = append(wrap, "--reuid", fmt.Sprint(nobody), "--regid", fmt.Sprint(nobody), "--clear-groups", "--")
	}
	return append(wrap, args...)
}

// ownDir makes a directory that the nodes' user owns.
func (l *lab) ownDir(name string) string {
	l.t.Helper()
	dir := filepath.Join(l.dir, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		l.t.Fatal(err)
	}
	if !inUserNamespace() {
		if err := os.Chown(dir, nobody, nobody); err != nil {
			l.t.Fatal(err)
		}
	}
	return dir
}

// proc is a running program.
type proc struct {
	t    *testing.T
	name string
	cmd  *exec.Cmd
	done chan struct{}
	err  error

	input io.WriteCloser // nil unless started with input

	mu    sync.Mutex
	out   bytes.Buffer
	lines chan string
}

// start runs a program as an ordinary user in a namespace until the test ends.
func (l *lab) start(ns, name string, env []string, args ...string) *proc {
	l.t.Helper()
	return l.launch(l.prepare(ns, name, env, args...))
}

// startWithInput is start with standard input held open until endInput.
func (l *lab) startWithInput(ns, name string, env []string, args ...string) *proc {
	l.t.Helper()
	p := l.prepare(ns, name, env, args...)
	in, err := p.cmd.StdinPipe()
	if err != nil {
		l.t.Fatal(err)
	}
	p.input = in
	return l.launch(p)
}

// over reports whether the program has ended.
func (p *proc) over() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

func (p *proc) endInput() { p.input.Close() }

func (l *lab) prepare(ns, name string, env []string, args ...string) *proc {
	return l.prepareAs(ns, name, env, unprivileged(args))
}

// prepareAs is prepare with the privileges in args.
func (l *lab) prepareAs(ns, name string, env []string, args []string) *proc {
	p := &proc{t: l.t, name: name, done: make(chan struct{}), lines: make(chan string, 100)}
	full := l.inside(ns, args)
	p.cmd = exec.Command(full[0], full[1:]...)
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Dir = l.dir
	p.cmd.Stderr = &tee{p: p}
	p.cmd.Stdout = &tee{p: p, lines: true}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p.cmd.WaitDelay = time.Second
	return p
}

func (l *lab) launch(p *proc) *proc {
	l.t.Helper()
	if err := p.cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	go func() { p.err = p.cmd.Wait(); close(p.done) }()
	l.t.Cleanup(func() {
		p.stop(syscall.SIGTERM)
		if l.t.Failed() {
			l.t.Logf("--- %s\n%s", p.name, p.log())
		}
	})
	return p
}

type tee struct {
	p     *proc
	lines bool
	rest  string
}

func (w *tee) Write(b []byte) (int, error) {
	w.p.mu.Lock()
	w.p.out.Write(b)
	w.p.mu.Unlock()
	if w.lines {
		w.rest += string(b)
		for {
			line, rest, ok := strings.Cut(w.rest, "\n")
			if !ok {
				break
			}
			w.rest = rest
			select {
			case w.p.lines <- line:
			default:
			}
		}
	}
	return len(b), nil
}

// line waits for a line of standard output that starts with prefix.
func (p *proc) line(prefix string, limit time.Duration) string {
	p.t.Helper()
	timeout := time.After(limit)
	for {
		select {
		case l := <-p.lines:
			if strings.HasPrefix(l, prefix) {
				return l
			}
		case <-p.done:
			p.t.Fatalf("%s ended (%v) before it said %q\n%s", p.name, p.err, prefix, p.log())
		case <-timeout:
			p.t.Fatalf("%s did not say %q within %v\n%s", p.name, prefix, limit, p.log())
		}
	}
}

func (p *proc) log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// stop sends a signal and waits for the end; it returns how long that took.
func (p *proc) stop(sig syscall.Signal) time.Duration {
	start := time.Now()
	p.cmd.Process.Signal(sig)
	select {
	case <-p.done:
	case <-time.After(10 * time.Second):
		p.t.Errorf("%s did not end within 10 s of %v\n%s", p.name, sig, p.log())
		p.cmd.Process.Kill()
		<-p.done
	}
	return time.Since(start)
}

// exit waits for a program that ends by itself.
func (p *proc) exit(limit time.Duration) int {
	p.t.Helper()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(limit):
		p.t.Fatalf("%s still runs after %v\n%s", p.name, limit, p.log())
		return 0
	}
}

func (p *proc) pid() int { return p.cmd.Process.Pid } // ip and setpriv exec, so it is the program's

// openFiles counts a node's descriptors.
func openFiles(t *testing.T, n *node) int {
	t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", n.pid()))
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// residentKiB is a node's resident memory.
func residentKiB(t *testing.T, n *node) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.pid()))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(b), "VmRSS:")
	var kib int
	if _, err := fmt.Sscan(after, &kib); err != nil {
		t.Fatal(err)
	}
	return kib
}
