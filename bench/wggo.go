//go:build linux

package main

import (
	"context"
	"path/filepath"
	"time"

	"nexd/bench/lab"
)

// wggo is wireguard-go on TUN devices on both hosts, as root, with the kernel's TCP and no
// proxy.
type wggo struct{ keys wgPair }

func (w *wggo) prepare(context.Context, *lab.Lab) (err error) {
	w.keys, err = newPair()
	return err
}

func (w *wggo) router(ctx context.Context, l *lab.Lab) (*lab.Process, error) {
	p, err := l.Spawn(lab.Start{NS: lab.HostB, Name: "wgtun router", Rooted: true, Input: w.keys.b,
		Args: []string{filepath.Join(l.Bin, "wgtun"), "-address=" + lab.MeshB.String(), "-route=" + lab.MeshA.String() + "/32"}})
	if err != nil {
		return nil, err
	}
	_, err = p.Line(ctx, "ready", 10*time.Second)
	return p, err
}

func (w *wggo) client(_ context.Context, l *lab.Lab) (*lab.Process, error) {
	return l.Spawn(lab.Start{NS: lab.HostA, Name: "wgtun client", Rooted: true, Input: w.keys.a,
		Args: []string{filepath.Join(l.Bin, "wgtun"), "-address=" + lab.MeshA.String(), "-route=" + lab.LAN.String()}})
}

func (w *wggo) proxy() string { return "" }

func (w *wggo) release(context.Context, *lab.Lab) error { return nil }
