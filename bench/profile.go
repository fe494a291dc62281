//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"nexd/bench/lab"
)

// profiler returns a function that starts a profile and returns its end. With a directory,
// perf records each agent and the relay into DIR/SCENARIO-SYSTEM-MEASURE-SIDE.perf. Do not
// compare the figures of such a run, because profiling costs a few percent.
func profiler(dir, scenario, system string) func(context.Context, *deployment, string) func() {
	if dir == "" {
		return func(context.Context, *deployment, string) func() { return func() {} }
	}
	return func(ctx context.Context, d *deployment, measure string) func() {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return func() { fmt.Fprintln(os.Stderr, "bench: profile:", err) }
		}
		var running []*exec.Cmd
		for side, p := range map[string]*lab.Process{"a": d.a, "b": d.b, "s": d.beside()} {
			if p == nil {
				continue
			}
			file := filepath.Join(dir, fmt.Sprintf("%s-%s-%s-%s.perf", scenario, system, measure, side))
			c := exec.CommandContext(ctx, "perf", "record", "-q", "-g", "-F", "997", "-o", file, "-p", strconv.Itoa(p.PID()))
			c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			c.WaitDelay = time.Second
			if err := c.Start(); err != nil {
				fmt.Fprintln(os.Stderr, "bench: profile:", err)
				continue
			}
			running = append(running, c)
		}
		return func() {
			for _, c := range running {
				c.Process.Signal(os.Interrupt)
				c.Wait()
			}
		}
	}
}
