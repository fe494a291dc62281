package router

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

// commandline is how a ping program wants to be called; the address goes last.
type commandline []string

// pingWait is how many seconds the program itself waits for an answer: longer
// than the 3 s in which a Linux host finds out that no neighbour answers.
const pingWait = 4

// findPing is a ping that asks the host's ping program, or nil when there is
// none that gets an answer from self.
func findPing(ctx context.Context, self netip.Addr) func(context.Context, probe) error {
	if runtime.GOOS == "windows" { // its exit code does not tell an answer from an unreachable
		return nil
	}
	for _, cl := range pingCommands(self.Is6()) {
		ask := cl.ping
		try, cancel := context.WithTimeout(ctx, 2*time.Second)
		err := ask(try, probe{target: self, payload: make([]byte, 8)})
		cancel()
		if err == nil {
			return ask
		}
	}
	return nil
}

// pingCommands are the ways of calling that the common programs (iputils,
// busybox, the BSDs) understand. "ping -6" is tried before ping6, which newer
// systems no longer have.
func pingCommands(v6 bool) []commandline {
	var ways []commandline
	if path, err := exec.LookPath("ping"); err == nil {
		if v6 {
			ways = append(ways, commandline{path, "-6"})
		} else {
			ways = append(ways, commandline{path})
		}
	}
	if path, err := exec.LookPath("ping6"); err == nil && v6 {
		ways = append(ways, commandline{path})
	}
	return ways
}

// arguments are the call for one probe. An address without zone is digits, dots
// and colons, so that it cannot be taken for an option.
func (cl commandline) arguments(p probe) []string {
	args := append([]string{}, cl...)
	return append(args, "-n", "-c", "1", "-W", strconv.Itoa(pingWait),
		"-s", strconv.Itoa(len(p.payload)), p.target.WithZone("").String())
}

// ping runs the program once. The payload's size is kept, its bytes are not.
func (cl commandline) ping(ctx context.Context, p probe) error {
	args := cl.arguments(p)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = []string{"LC_ALL=C", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	default:
		return fmt.Errorf("router: ping %v: %w", p.target, whyNot(out))
	}
}

// whyNot reads from a ping program's output why there was no answer.
func whyNot(out []byte) error {
	out = bytes.ToLower(out)
	for _, known := range []struct {
		text string
		err  error
	}{
		{"network is unreachable", syscall.ENETUNREACH},
		{"network unreachable", syscall.ENETUNREACH},
		{"net unreachable", syscall.ENETUNREACH},
		{"no route", syscall.ENETUNREACH},
		{"prohibited", syscall.EACCES},
		{"filtered", syscall.EACCES},
		{"unreachable", syscall.EHOSTUNREACH},
	} {
		if bytes.Contains(out, []byte(known.text)) {
			return known.err
		}
	}
	return context.DeadlineExceeded
}
