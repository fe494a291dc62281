//go:build linux

package main

import (
	"context"
	"fmt"
	"path/filepath"

	"nexd/bench/lab"
	"nexd/bench/load"
)

// system connects the load client on host A with the container.
type system interface {
	// prepare runs before any measurement.
	prepare(ctx context.Context, l *lab.Lab) error
	// router starts the process on host B, if any, and waits until it is ready.
	router(ctx context.Context, l *lab.Lab) (*lab.Process, error)
	// client starts the process on host A, if any, without waiting.
	client(ctx context.Context, l *lab.Lab) (*lab.Process, error)
	// proxy is host A's SOCKS address for the container; empty for direct connections.
	proxy() string
	// release reverts changes to the lab after both processes have ended.
	release(ctx context.Context, l *lab.Lab) error
}

// socksPort is the address of the proxy, for every system that has one.
const socksPort = "127.0.0.1:1080"

// newSystem returns the system of that name.
func newSystem(name string, o options) system {
	for _, v := range o.nexds {
		if v.name == name {
			return &nexd{path: v.path, env: v.env}
		}
	}
	switch name {
	case "nexd":
		return &nexd{}
	case "stock":
		return &stock{}
	case "nexd-tun":
		return &nexdTUN{nexd{root: true}}
	case "wggo":
		return &wggo{}
	case "nexd-relay-udp":
		return &nexdRelay{carrier: carrierUDP}
	case "nexd-relay-ws":
		return &nexdRelay{carrier: carrierWS}
	default:
		return raw{}
	}
}

// deployment is a running system in a lab.
type deployment struct {
	lab    *lab.Lab
	system system
	a, b   *lab.Process // its agents; nil where it has none
	load   *lab.Process // the client on host A
	server *lab.Process // in the container
}

// beside returns the process that takes part besides the two agents, if any.
func (d *deployment) beside() *lab.Process {
	if s, ok := d.system.(interface{ beside() *lab.Process }); ok {
		return s.beside()
	}
	return nil
}

// prove checks that packets take the intended path, if the system can tell.
func (d *deployment) prove(ctx context.Context) error {
	s, ok := d.system.(interface {
		prove(context.Context, *deployment) error
	})
	if !ok {
		return nil
	}
	return s.prove(ctx, d)
}

// deploy starts a system's router and the load client, but not yet its client.
func deploy(ctx context.Context, l *lab.Lab, s system, server *lab.Process) (_ *deployment, err error) {
	d := &deployment{lab: l, system: s, server: server}
	defer func() {
		if err != nil {
			d.close()
		}
	}()
	if err := s.prepare(ctx, l); err != nil {
		return nil, err
	}
	self := filepath.Join(l.Bin, "bench")
	d.load, err = l.Spawn(lab.Start{NS: lab.HostA, Name: "load client", Talks: true, Args: []string{self, load.RoleClient, "-target=" + lab.Target.String(), "-proxy=" + s.proxy()}})
	if err != nil {
		return nil, err
	}
	// Wait for an answer, so its start does not count in the time to the first byte.
	if err := d.load.Call(ctx, load.DialLimit, "Received", struct{}{}, new(int64)); err != nil {
		return nil, err
	}
	return d, l.WithBuffers(func() error {
		d.b, err = s.router(ctx, l)
		return err
	})
}

// startClient starts the system's client and waits for the first byte.
func (d *deployment) startClient(ctx context.Context) error {
	err := d.lab.WithBuffers(func() (err error) {
		d.a, err = d.system.client(ctx, d.lab)
		if err != nil {
			return err
		}
		return d.load.Call(ctx, load.FirstByteLimit, "FirstByte", load.FirstByteLimit, new(struct{}))
	})
	if err != nil && d.a != nil {
		return fmt.Errorf("%w\nclient said: %s\nrouter said: %s", err, d.a.Said(), d.b.Said())
	}
	return err
}

// close stops everything of the deployment.
func (d *deployment) close() {
	d.load.Stop()
	d.a.Stop()
	d.b.Stop()
	d.system.release(context.Background(), d.lab)
}
