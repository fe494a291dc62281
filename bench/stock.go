//go:build linux

package main

import (
	"context"
	"path/filepath"
	"time"

	"nexd/bench/lab"
)

// stock is wireguard's own tun/netstack on both hosts (bench/stocknet), which most rootless
// tools use. It has no forwarder, so the stack on host B owns the container's address,
// listens there and relays to the container.
type stock struct{ keys wgPair }

func (s *stock) prepare(context.Context, *lab.Lab) (err error) {
	s.keys, err = newPair()
	return err
}

func (s *stock) router(ctx context.Context, l *lab.Lab) (*lab.Process, error) {
	p, err := l.Spawn(lab.Start{NS: lab.HostB, Name: "stocknet router", Input: s.keys.b,
		Args: []string{filepath.Join(l.Bin, "stocknet"), "-address=" + lab.Target.Addr().String(), "-relay=" + lab.Target.String()}})
	if err != nil {
		return nil, err
	}
	_, err = p.Line(ctx, "ready", 10*time.Second)
	return p, err
}

func (s *stock) client(_ context.Context, l *lab.Lab) (*lab.Process, error) {
	return l.Spawn(lab.Start{NS: lab.HostA, Name: "stocknet client", Input: s.keys.a,
		Args: []string{filepath.Join(l.Bin, "stocknet"), "-address=" + lab.MeshA.String(), "-socks=" + socksPort}})
}

func (s *stock) proxy() string { return socksPort }

func (s *stock) release(context.Context, *lab.Lab) error { return nil }
