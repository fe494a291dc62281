//go:build linux

package main

import (
	"context"
	"path/filepath"
	"time"
)

// wggo is wireguard-go on TUN devices at both ends, as root: the kernel's TCP at
// both ends, no proxy in between.
type wggo struct{ keys wgPair }

func (w *wggo) prepare(context.Context, *lab) (err error) {
	w.keys, err = newPair()
	return err
}

func (w *wggo) router(ctx context.Context, l *lab) (*process, error) {
	p, err := l.spawn(start{ns: hostB, name: "wgtun router", rooted: true, input: w.keys.b,
		args: []string{filepath.Join(l.bin, "wgtun"), "-address=" + meshB.String(), "-route=" + meshA.String() + "/32"}})
	if err != nil {
		return nil, err
	}
	_, err = p.line(ctx, "ready", 10*time.Second)
	return p, err
}

func (w *wggo) client(_ context.Context, l *lab) (*process, error) {
	return l.spawn(start{ns: hostA, name: "wgtun client", rooted: true, input: w.keys.a,
		args: []string{filepath.Join(l.bin, "wgtun"), "-address=" + meshA.String(), "-route=" + lan.String()}})
}

func (w *wggo) proxy() string { return "" }

func (w *wggo) release(context.Context, *lab) error { return nil }
