//go:build linux

package main

import (
	"context"

	"nexd/bench/lab"
)

// raw is a route from host A to the container through host B, without a VPN.
type raw struct{}

func (raw) prepare(ctx context.Context, l *lab.Lab) error {
	return l.Run(ctx, l.Cmd("ip -n %s route replace %s via %s", l.NS(lab.HostA), lab.LAN, lab.WanB))
}

func (raw) router(context.Context, *lab.Lab) (*lab.Process, error) { return nil, nil }
func (raw) client(context.Context, *lab.Lab) (*lab.Process, error) { return nil, nil }
func (raw) proxy() string                                          { return "" }

func (raw) release(ctx context.Context, l *lab.Lab) error {
	return l.Run(ctx, l.Cmd("ip -n %s route del %s via %s", l.NS(lab.HostA), lab.LAN, lab.WanB))
}
