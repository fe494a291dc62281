//go:build linux

package main

import "context"

// raw is no VPN at all: host A has a route to the container through host B.
type raw struct{}

func (raw) prepare(ctx context.Context, l *lab) error {
	return l.commands(ctx, l.cmd("ip -n %s route replace %s via %s", l.ns(hostA), lan, wanB))
}

func (raw) router(context.Context, *lab) (*process, error) { return nil, nil }
func (raw) client(context.Context, *lab) (*process, error) { return nil, nil }
func (raw) proxy() string                                  { return "" }

func (raw) release(ctx context.Context, l *lab) error {
	return l.commands(ctx, l.cmd("ip -n %s route del %s via %s", l.ns(hostA), lan, wanB))
}
