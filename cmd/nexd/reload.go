package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"nexd/agent"
	"nexd/internal/program"
)

// live are the flags that a SIGHUP can change; all others need a restart.
var live = []string{"local-forward", "remote-forward", "log-level", "proxy-listen", "proxy-outside"}

// runReloading runs the agent. On each SIGHUP it reads the environment and the config
// file again.
func (c *cli) runReloading(ctx context.Context, cfg agent.Config) error {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	changes := make(chan agent.Change)
	cfg.Changes = changes
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	defer func() { cancel(); <-done }()
	go func() {
		defer close(done)
		now := settings(c.parsed)
		for {
			select {
			case <-ctx.Done():
				return
			case <-hup:
			}
			change, next, err := c.reread(now)
			if err != nil {
				cfg.Logger.Error("configuration not reloaded: it has errors", "err", err)
				continue
			}
			now = next
			select {
			case changes <- change:
			case <-ctx.Done():
				return
			}
		}
	}()
	return program.End(cfg.Logger, c.LogFormat, agent.Run(ctx, cfg), exitCode)
}

// reread parses everything again and returns the changes. It ignores the registration
// key, which may have come from standard input.
func (c *cli) reread(now map[string]string) (change agent.Change, next map[string]string, err error) {
	fresh := &cli{std: c.std, level: new(slog.LevelVar)}
	if fresh.file, err = findConfig(c.args); err != nil {
		return change, nil, err
	}
	parser, err := newParser(fresh, kong.Resolvers(fresh.file))
	if err != nil {
		return change, nil, err
	}
	if fresh.parsed, err = parser.Parse(c.args); err != nil {
		return change, nil, err
	}
	if err := fresh.checkFile(); err != nil {
		return change, nil, err
	}
	fresh.RegKey, fresh.RegKeyFile = "", ""
	r := fresh.Router
	if fresh.parsed.Selected().Name == "join" {
		r = routerCmd{ServiceURL: fresh.Join.ServiceURL}
	}
	cfg, err := fresh.config(r)
	if err != nil {
		return change, nil, err
	}
	setLevel(c.level, fresh.LogLevel)
	next = settings(fresh.parsed)
	change = agent.Change{Forwards: cfg.Forwards, ProxyListen: cfg.ProxyListen, Direct: cfg.Proxy.Direct}
	for _, name := range changed(now, next) {
		if !slices.Contains(live, name) {
			change.NeedRestart = append(change.NeedRestart, "--"+name)
			next[name] = now[name] // keep the old value, so the next SIGHUP reports it again
		}
	}
	return change, next, nil
}

// settings returns the value of every flag that a file can set, as text.
func settings(ctx *kong.Context) map[string]string {
	out := map[string]string{}
	for _, f := range ctx.Flags() {
		if settable(f) && !strings.HasPrefix(f.Name, "reg-key") {
			out[f.Name] = fmt.Sprint(f.Target.Interface())
		}
	}
	return out
}

func changed(a, b map[string]string) (names []string) {
	for name := range b {
		if a[name] != b[name] {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
