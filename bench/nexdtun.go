//go:build linux

package main

import (
	"context"
	"fmt"
	"time"
)

// nexdTUN is nexd in TUN mode at both ends, as root: beside wggo it shows what the
// agent around WireGuard costs.
type nexdTUN struct{ nexd }

func (n *nexdTUN) router(ctx context.Context, l *lab) (*process, error) {
	p, err := l.spawn(start{ns: hostB, name: "nexd-tun router", rooted: true, args: []string{n.bin, "router", "--tun", "--advertise-cidr=" + lan.String(),
		fmt.Sprintf("--listen-port=%d", agentPort), "--proxy-listen=off", "--state-dir=" + n.stateB, "--map=" + n.mapB}})
	if err != nil {
		return nil, err
	}
	_, err = p.line(ctx, "ready", 10*time.Second)
	return p, err
}

func (n *nexdTUN) client(_ context.Context, l *lab) (*process, error) {
	return l.spawn(start{ns: hostA, name: "nexd-tun client", rooted: true, args: []string{n.bin, "join", "--tun",
		"--proxy-listen=off", "--state-dir=" + n.stateA, "--map=" + n.mapA}})
}

func (n *nexdTUN) proxy() string { return "" }
