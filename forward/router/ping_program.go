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

// commandline is a ping program and its first arguments. The address comes last.
type commandline []string

// pingWait is how many seconds the program waits for an answer. A Linux host needs 3 s to find out
// that no neighbour answers.
const pingWait = 4

// findPing returns a ping that runs the host's ping program, or nil if no program gets an answer
// from self.
func findPing(ctx context.Context, self netip.Addr) func(context.Context, probe) error {
	if runtime.GOOS == "windows" { // its exit code is the same for an answer and for an unreachable
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

// pingCommands returns the command lines that the common programs (iputils, busybox, the BSDs)
// understand. "ping -6" comes before ping6, which newer systems no longer have.
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

// arguments returns the command line for one probe. An address without a zone consists of digits,
// dots and colons, so that no program takes it for an option.
func (cl commandline) arguments(p probe) []string {
	args := append([]string{}, cl...)
	return append(args, "-n", "-c", "1", "-W", strconv.Itoa(pingWait),
		"-s", strconv.Itoa(len(p.payload)), p.target.WithZone("").String())
}

// ping runs the program once. The echo request has the size of the payload but not its bytes.
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
		return fmt.Errorf("router: ping %v: %w", p.target, failure(out))
	}
}

// failure returns the reason for a missing answer according to the output of a ping program.
func failure(out []byte) error {
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
