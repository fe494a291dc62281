//go:build linux

package lab

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

// Nobody is the user of all programs that need no privileges.
const Nobody = 65534

// Start describes a program to start.
type Start struct {
	NS     string // namespace of the lab, empty = this machine's own
	Name   string // for messages
	Rooted bool   // keeps root; otherwise Nobody without any capability
	Env    []string
	Input  string // given on standard input
	Talks  bool   // standard input and output speak rpc
	Args   []string
}

// Process is a program that runs until Stop.
type Process struct {
	Name  string
	cmd   *exec.Cmd
	done  chan struct{} // closed when it has ended
	lines chan string   // of its standard output
	rpc   *rpc.Client   // if it talks

	mu   sync.Mutex
	tail []byte // the end of its standard error
}

// Spawn starts a program. It enters the namespace on its own thread, and setpriv execs the
// program, so no helper process slows down a measurement.
func (l *Lab) Spawn(s Start) (*Process, error) {
	args := s.Args
	if s.NS != "" && !s.Rooted {
		id := strconv.Itoa(Nobody)
		args = append([]string{"setpriv", "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all", "--reuid", id, "--regid", id, "--clear-groups",
			"--pdeathsig", "KILL", "--"}, args...)
	}
	p := &Process{Name: s.Name, cmd: exec.Command(args[0], args[1:]...), done: make(chan struct{}), lines: make(chan string, 16)}
	p.cmd.Env = append(os.Environ(), s.Env...)
	p.cmd.Dir = l.Dir
	p.cmd.Stderr = (*tail)(p)
	// Only the benchmark receives Ctrl-C, and stops the others in order. If the benchmark is
	// killed, the process dies too.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	p.cmd.WaitDelay = time.Second
	conn, err := p.plumb(s)
	if err != nil {
		return nil, err
	}
	begin := p.cmd.Start
	if s.NS != "" {
		begin = func() error { return inNamespace(l.NS(s.NS), p.cmd.Start) }
	}
	if err := begin(); err != nil {
		return nil, fmt.Errorf("start %s: %w", s.Name, err)
	}
	if s.Talks {
		p.rpc = rpc.NewClient(conn)
	}
	go func() { p.cmd.Wait(); close(p.done) }()
	return p, nil
}

// plumb sets up standard input and output.
func (p *Process) plumb(s Start) (conn io.ReadWriteCloser, err error) {
	if !s.Talks {
		p.cmd.Stdin, p.cmd.Stdout = strings.NewReader(s.Input), &lineWriter{to: p.lines}
		return nil, nil
	}
	in, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	return load.Stdio{ReadCloser: out, WriteCloser: in}, err
}

// Stop ends the program, first with SIGTERM and then with SIGKILL, and waits for it.
func (p *Process) Stop() {
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

// PID is its process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Line waits for a line of standard output that starts with prefix.
func (p *Process) Line(ctx context.Context, prefix string, limit time.Duration) (string, error) {
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
			return "", fmt.Errorf("%s ended early: %v\n%s", p.Name, p.cmd.ProcessState, p.Said())
		case <-timeout:
			return "", fmt.Errorf("%s did not say %q within %v\n%s", p.Name, prefix, limit, p.Said())
		}
	}
}

// Call calls a method of a load process and waits for the reply, at most for limit.
func (p *Process) Call(ctx context.Context, limit time.Duration, method string, args, reply any) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	call := p.rpc.Go("Load."+method, args, reply, make(chan *rpc.Call, 1))
	select {
	case <-call.Done:
		if call.Error != nil {
			return fmt.Errorf("%s: %s: %w", p.Name, method, call.Error)
		}
		return nil
	case <-p.done:
		return fmt.Errorf("%s: %s: it ended: %v\n%s", p.Name, method, p.cmd.ProcessState, p.Said())
	case <-ctx.Done():
		return fmt.Errorf("%s: %s: %w", p.Name, method, ctx.Err())
	}
}

// Said is the end of its standard error.
func (p *Process) Said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return string(p.tail)
}

// tail keeps the end of a process's standard error.
type tail Process

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

// lineWriter sends complete lines to a channel, and drops them if nobody receives.
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
