package meshtest

import (
	"context"
	"net"
	"testing"
	"time"

	"nexd/forward/router"
	"nexd/internal/eventually"
	"nexd/mesh"
	"nexd/node"
)

// Config is what a node in userspace mode needs to join s by its registration key.
func (s *Service) Config(hostname string) node.Config {
	return node.Config{ServiceURL: s.URL(), RegKey: s.Key, Hostname: hostname, Mode: node.Userspace}
}

// Behind adds to a node's configuration that it offers 127.0.0.1 to the mesh as advertised,
// but only the port of each target.
func Behind(t *testing.T, cfg node.Config, advertised string, targets ...net.Addr) node.Config {
	t.Helper()
	a, err := mesh.ParseAdvertisement(advertised + "/32=127.0.0.1/32")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Advertise = append(cfg.Advertise, a)
	for _, target := range targets {
		allow, err := router.ParseAllow(target.String())
		if err != nil {
			t.Fatal(err)
		}
		cfg.AllowLocal = append(cfg.AllowLocal, allow)
	}
	return cfg
}

// Run runs a node until stop or the end of the test, and waits until it is ready.
func Run(t *testing.T, cfg node.Config) (n *node.Node, stop func()) {
	t.Helper()
	n, err := node.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	stopped := false
	stop = func() {
		if cancel(); stopped {
			return
		}
		stopped = true
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
	}
	select {
	case <-n.Ready():
	case err := <-done:
		cancel()
		t.Fatalf("Run = %v before the node was ready", err)
	case <-time.After(20 * time.Second):
		stop()
		t.Fatal("the node is not ready after 20 s")
	}
	t.Cleanup(stop)
	return n, stop
}

// WaitForPeer waits until n knows a node of that name.
func WaitForPeer(t *testing.T, n *node.Node, name string) {
	t.Helper()
	eventually.True(t, "the peer "+name+" is in the map", func() bool { _, ok := n.View().Named(name); return ok })
}
