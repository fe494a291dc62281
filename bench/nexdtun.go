//go:build linux

package main

import (
	"context"
	"fmt"
	"time"

	"nexd/bench/lab"
)

// nexdTUN is nexd in TUN mode on both hosts, as root. Compared with wggo it shows the cost
// of the agent around WireGuard.
type nexdTUN struct{ nexd }

func (n *nexdTUN) router(ctx context.Context, l *lab.Lab) (*lab.Process, error) {
	p, err := l.Spawn(lab.Start{NS: lab.HostB, Name: "nexd-tun router", Rooted: true, Args: []string{n.bin, "router", "--tun", "--advertise-cidr=" + lab.LAN.String(),
		fmt.Sprintf("--listen-port=%d", lab.AgentPort), "--proxy-listen=off", "--state-dir=" + n.stateB, "--map=" + n.mapB}})
	if err != nil {
		return nil, err
	}
	_, err = p.Line(ctx, "ready", 10*time.Second)
	return p, err
}

func (n *nexdTUN) client(_ context.Context, l *lab.Lab) (*lab.Process, error) {
	return l.Spawn(lab.Start{NS: lab.HostA, Name: "nexd-tun client", Rooted: true, Args: []string{n.bin, "join", "--tun",
		"--proxy-listen=off", "--state-dir=" + n.stateA, "--map=" + n.mapA}})
}

func (n *nexdTUN) proxy() string { return "" }
