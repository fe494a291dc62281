//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"net/rpc"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"nexd/bench/load"
)

// nobody is the user of everything that claims to need no privileges.
const nobody = 65534

// start is a program to be started.
type start struct {
	ns     string // namespace of the lab, empty = this machine's own
	name   string // for messages
	rooted bool   // keeps root; otherwise nobody without any capability
	env    []string
	input  string // given on standard input
	talks  bool   // standard input and output speak rpc
	args   []string
}

// process is a program of ours that runs until stop.
type process struct {
	name  string
	cmd   *exec.Cmd
	done  chan struct{} // closed when it has ended
	lines chan string   // of its standard output
	rpc   *rpc.Client   // if it talks

	mu   sync.Mutex
	tail []byte // the last it said on standard error
}

// spawn starts a program. ip and setpriv are not in its way when the clock runs:
// the namespace is entered by our own thread, and setpriv becomes the program.
func (l *lab) spawn(s start) (*process, error) {
	args := s.args
	if s.ns != "" && !s.rooted {
		id := strconv.Itoa(nobody)
		args = append([]string{"setpriv", "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all", "--reuid", id, "--regid", id, "--clear-groups",
			"--pdeathsig", "KILL", "--"}, args...)
	}
	p := &process{name: s.name, cmd: exec.Command(args[0], args[1:]...), done: make(chan struct{}), lines: make(chan string, 16)}
	p.cmd.Env = append(os.Environ(), s.env...)
	p.cmd.Dir = l.dir
	p.cmd.Stderr = (*tail)(p)
	// Ctrl-C reaches us alone, and we stop the rest in order; if we are killed it dies with us.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	p.cmd.WaitDelay = time.Second
	conn, err := p.plumb(s)
	if err != nil {
		return nil, err
	}
	begin := p.cmd.Start
	if s.ns != "" {
		begin = func() error { return inNamespace(l.ns(s.ns), p.cmd.Start) }
	}
	if err := begin(); err != nil {
		return nil, fmt.Errorf("start %s: %w", s.name, err)
	}
	if s.talks {
		p.rpc = rpc.NewClient(conn)
	}
	go func() { p.cmd.Wait(); close(p.done) }()
	return p, nil
}

// plumb connects standard input and output.
func (p *process) plumb(s start) (conn io.ReadWriteCloser, err error) {
	if !s.talks {
		p.cmd.Stdin, p.cmd.Stdout = strings.NewReader(s.input), &lineWriter{to: p.lines}
		return nil, nil
	}
	in, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	return load.Stdio{ReadCloser: out, WriteCloser: in}, err
}

// stop ends the program, kindly first, and waits for it.
func (p *process) stop() {
	if p == nil {
		return
	}
	if p.rpc != nil {
		p.rpc.Close()
	}
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(3 * time.Second):
		p.cmd.Process.Kill()
		<-p.done
	}
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// line waits for a line of standard output that starts with prefix.
func (p *process) line(ctx context.Context, prefix string, limit time.Duration) (string, error) {
	timeout := time.After(limit)
	for {
		select {
		case l := <-p.lines:
			if strings.HasPrefix(l, prefix) {
				return l, nil
			}
		case <-ctx.Done():
			return "", ctx.Err()
		case <-p.done:
			return "", fmt.Errorf("%s ended early: %v\n%s", p.name, p.cmd.ProcessState, p.said())
		case <-timeout:
			return "", fmt.Errorf("%s did not say %q within %v\n%s", p.name, prefix, limit, p.said())
		}
	}
}

// call asks a load process and waits for its answer, at most for limit.
func (p *process) call(ctx context.Context, limit time.Duration, method string, args, reply any) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	call := p.rpc.Go("Load."+method, args, reply, make(chan *rpc.Call, 1))
	select {
	case <-call.Done:
		if call.Error != nil {
			return fmt.Errorf("%s: %s: %w", p.name, method, call.Error)
		}
		return nil
	case <-p.done:
		return fmt.Errorf("%s: %s: it ended: %v\n%s", p.name, method, p.cmd.ProcessState, p.said())
	case <-ctx.Done():
		return fmt.Errorf("%s: %s: %w", p.name, method, ctx.Err())
	}
}

func (p *process) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return string(p.tail)
}

// tail keeps the end of what a process says on standard error.
type tail process

const tailSize = 4096

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tail = append(t.tail, b...)
	if over := len(t.tail) - tailSize; over > 0 {
		t.tail = append(t.tail[:0], t.tail[over:]...)
	}
	return len(b), nil
}

// lineWriter hands on whole lines; nobody listening is no reason to wait.
type lineWriter struct {
	to   chan string
	rest string
}

func (w *lineWriter) Write(b []byte) (int, error) {
	w.rest += string(b)
	for {
		line, rest, ok := strings.Cut(w.rest, "\n")
		if !ok {
			return len(b), nil
		}
		w.rest = rest
		select {
		case w.to <- line:
		default:
		}
	}
}
