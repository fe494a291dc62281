//go:build linux

package main

import (
	"context"
	"path/filepath"
	"time"
)

// stock is what most rootless tools are made of: wireguard's own tun/netstack, at
// both ends, in bench/stocknet. It has no forwarder, so that the stack on host B
// owns the container's address, listens there and relays to the container.
type stock struct{ keys wgPair }

func (s *stock) prepare(context.Context, *lab) (err error) {
	s.keys, err = newPair()
	return err
}

func (s *stock) router(ctx context.Context, l *lab) (*process, error) {
	p, err := l.spawn(start{ns: hostB, name: "stocknet router", input: s.keys.b,
		args: []string{filepath.Join(l.bin, "stocknet"), "-address=" + target.Addr().String(), "-relay=" + target.String()}})
	if err != nil {
		return nil, err
	}
	_, err = p.line(ctx, "ready", 10*time.Second)
	return p, err
}

func (s *stock) client(_ context.Context, l *lab) (*process, error) {
	return l.spawn(start{ns: hostA, name: "stocknet client", input: s.keys.a,
		args: []string{filepath.Join(l.bin, "stocknet"), "-address=" + meshA.String(), "-socks=" + socksPort}})
}

func (s *stock) proxy() string { return socksPort }

func (s *stock) release(context.Context, *lab) error { return nil }
