//go:build linux

package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// nexd is the program this repository is about, rootless on both hosts. Static
// maps stand in for the service.
type nexd struct {
	path string // empty: the one beside the other programs
	env  []string
	root bool // runs as root, with a state of its own

	bin          string
	stateA, mapA string
	stateB, mapB string
}

func (n *nexd) prepare(ctx context.Context, l *lab) (err error) {
	if n.bin = n.path; n.bin == "" {
		n.bin = filepath.Join(l.bin, "nexd")
	}
	if n.root {
		n.stateA, n.stateB = filepath.Join(l.dir, "root-a"), filepath.Join(l.dir, "root-b")
	} else {
		if n.stateA, err = l.ownDir("state-a"); err != nil {
			return err
		}
		if n.stateB, err = l.ownDir("state-b"); err != nil {
			return err
		}
	}
	keyA, err := n.key(ctx, l, n.stateA)
	if err != nil {
		return err
	}
	keyB, err := n.key(ctx, l, n.stateB)
	if err != nil {
		return err
	}
	n.mapA, n.mapB = filepath.Join(l.dir, "a.json"), filepath.Join(l.dir, "b.json")
	if err := os.WriteFile(n.mapA, []byte(staticMap("bench-a", meshA, "bench-b", keyB, meshB,
		fmt.Sprintf(`,"prefixes":[%q],"endpoints":[%q]`, lan, netip.AddrPortFrom(wanB, agentPort)))), 0o644); err != nil {
		return err
	}
	return os.WriteFile(n.mapB, []byte(staticMap("bench-b", meshB, "bench-a", keyA, meshA, "")), 0o644)
}

// key makes a node's key where there is none and returns its public half.
func (n *nexd) key(ctx context.Context, l *lab, state string) (string, error) {
	cmd := exec.CommandContext(ctx, "setpriv", "--reuid", fmt.Sprint(nobody), "--regid", fmt.Sprint(nobody), "--clear-groups", "--", n.bin, "key", "--state-dir="+state)
	if n.root {
		cmd = exec.CommandContext(ctx, n.bin, "key", "--state-dir="+state)
	}
	cmd.Dir = l.dir
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("nexd key: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// staticMap is a node's map with one peer, as docs/static-map.md describes it.
func staticMap(self string, selfAddr netip.Addr, peer, key string, peerAddr netip.Addr, more string) string {
	return fmt.Sprintf(`{"self":{"name":%q,"addresses":[%q]},"peers":[{"name":%q,"key":%q,"addresses":[%q]%s}]}`, self, selfAddr, peer, key, peerAddr, more)
}

func (n *nexd) router(ctx context.Context, l *lab) (*process, error) {
	p, err := l.spawn(start{ns: hostB, name: "nexd router", env: n.env, args: []string{n.bin, "router", "--userspace", "--advertise-cidr=" + lan.String(),
		fmt.Sprintf("--listen-port=%d", agentPort), "--proxy-listen=off", "--state-dir=" + n.stateB, "--map=" + n.mapB}})
	if err != nil {
		return nil, err
	}
	_, err = p.line(ctx, "ready", 10*time.Second)
	return p, err
}

func (n *nexd) client(_ context.Context, l *lab) (*process, error) {
	return l.spawn(start{ns: hostA, name: "nexd client", env: n.env, args: []string{n.bin, "join", "--userspace",
		"--proxy-listen=" + socksPort, "--state-dir=" + n.stateA, "--map=" + n.mapA}})
}

func (n *nexd) proxy() string { return socksPort }

func (n *nexd) release(context.Context, *lab) error { return nil }
