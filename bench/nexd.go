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

	"nexd/bench/lab"
)

// nexd is nexd without root on both hosts, with static maps instead of a service.
type nexd struct {
	path string // empty: the nexd in the directory of the other programs
	env  []string
	root bool // runs as root, with a state of its own

	bin          string
	stateA, mapA string
	stateB, mapB string
}

func (n *nexd) prepare(ctx context.Context, l *lab.Lab) (err error) {
	if n.bin = n.path; n.bin == "" {
		n.bin = filepath.Join(l.Bin, "nexd")
	}
	if n.root {
		n.stateA, n.stateB = filepath.Join(l.Dir, "root-a"), filepath.Join(l.Dir, "root-b")
	} else {
		if n.stateA, err = l.OwnDir("state-a"); err != nil {
			return err
		}
		if n.stateB, err = l.OwnDir("state-b"); err != nil {
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
	n.mapA, n.mapB = filepath.Join(l.Dir, "a.json"), filepath.Join(l.Dir, "b.json")
	if err := os.WriteFile(n.mapA, []byte(staticMap("bench-a", lab.MeshA, "bench-b", keyB, lab.MeshB,
		fmt.Sprintf(`,"prefixes":[%q],"endpoints":[%q]`, lab.LAN, netip.AddrPortFrom(lab.WanB, lab.AgentPort)))), 0o644); err != nil {
		return err
	}
	return os.WriteFile(n.mapB, []byte(staticMap("bench-b", lab.MeshB, "bench-a", keyA, lab.MeshA, "")), 0o644)
}

// key generates a node's key if there is none, and returns the public key.
func (n *nexd) key(ctx context.Context, l *lab.Lab, state string) (string, error) {
	cmd := exec.CommandContext(ctx, "setpriv", "--reuid", fmt.Sprint(lab.Nobody), "--regid", fmt.Sprint(lab.Nobody), "--clear-groups", "--", n.bin, "key", "--state-dir="+state)
	if n.root {
		cmd = exec.CommandContext(ctx, n.bin, "key", "--state-dir="+state)
	}
	cmd.Dir = l.Dir
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("nexd key: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// staticMap returns a node's map with one peer, as described in docs/static-map.md.
func staticMap(self string, selfAddr netip.Addr, peer, key string, peerAddr netip.Addr, more string) string {
	return fmt.Sprintf(`{"self":{"name":%q,"addresses":[%q]},"peers":[{"name":%q,"key":%q,"addresses":[%q]%s}]}`, self, selfAddr, peer, key, peerAddr, more)
}

func (n *nexd) router(ctx context.Context, l *lab.Lab) (*lab.Process, error) {
	p, err := l.Spawn(lab.Start{NS: lab.HostB, Name: "nexd router", Env: n.env, Args: []string{n.bin, "router", "--userspace", "--advertise-cidr=" + lab.LAN.String(),
		fmt.Sprintf("--listen-port=%d", lab.AgentPort), "--proxy-listen=off", "--state-dir=" + n.stateB, "--map=" + n.mapB}})
	if err != nil {
		return nil, err
	}
	_, err = p.Line(ctx, "ready", 10*time.Second)
	return p, err
}

func (n *nexd) client(_ context.Context, l *lab.Lab) (*lab.Process, error) {
	return l.Spawn(lab.Start{NS: lab.HostA, Name: "nexd client", Env: n.env, Args: []string{n.bin, "join", "--userspace",
		"--proxy-listen=" + socksPort, "-L", n.udpForward().String() + ":" + lab.Target.String() + "/udp", "--state-dir=" + n.stateA, "--map=" + n.mapA}})
}

func (n *nexd) proxy() string { return socksPort }

// udpForward is the listening address of host A's UDP forward to the load server.
func (n *nexd) udpForward() netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 7001)
}

func (n *nexd) release(context.Context, *lab.Lab) error { return nil }
