package agent

import (
	"context"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nexd/internal/leak"
	"nexd/mesh"
	"nexd/node"
	"nexd/node/state"
)

// holdUDP takes a UDP port of every address.
func holdUDP(t *testing.T, port uint16) net.PacketConn {
	t.Helper()
	pc, err := net.ListenUDP("udp4", &net.UDPAddr{Port: int(port)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pc.Close() })
	return pc
}

func portOf(t *testing.T, dir string) uint16 {
	t.Helper()
	st, err := state.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	return st.ListenPort
}

// ranBefore is a node that ran once, and the port it had then, which another program
// holds now.
func ranBefore(t *testing.T) (cfg Config, was uint16, held net.PacketConn) {
	t.Helper()
	dir, other := shortDir(t), shortDir(t)
	_, laptopMap := staticPair(t, other, dir, freeUDPPort(t))
	cfg = Config{Config: node.Config{StateDir: dir, MapFile: laptopMap}, ProxyListen: []string{"off"}}
	run(t, cfg).stop()
	was = portOf(t, dir)
	return cfg, was, holdUDP(t, was)
}

// TestRememberedPortIsTaken: a program that took the port of the last run does not
// keep the node down, and the node stays at its new port.
func TestRememberedPortIsTaken(t *testing.T) {
	leak.Check(t)
	cfg, was, held := ranBefore(t)
	run(t, cfg).stop()
	now := portOf(t, cfg.StateDir)
	if now == was || now == 0 {
		t.Fatalf("port %d, taken by another program, became %d", was, now)
	}
	held.Close()
	run(t, cfg).stop()
	if again := portOf(t, cfg.StateDir); again != now {
		t.Errorf("port %d became %d without need", now, again)
	}
}

// TestTakenPortIsWaitedFor: the sockets of a killed nexd may outlive its lock for a
// moment.
func TestTakenPortIsWaitedFor(t *testing.T) {
	leak.Check(t)
	cfg, was, held := ranBefore(t)
	time.AfterFunc(200*time.Millisecond, func() { held.Close() })
	run(t, cfg).stop()
	if now := portOf(t, cfg.StateDir); now != was {
		t.Errorf("port %d became %d", was, now)
	}
}

func TestAskedPortIsTaken(t *testing.T) {
	leak.Check(t)
	dir, other := shortDir(t), shortDir(t)
	_, laptopMap := staticPair(t, other, dir, freeUDPPort(t))
	port := freeUDPPort(t)
	holdUDP(t, port)
	err := Run(context.Background(), Config{
		Config: node.Config{StateDir: dir, MapFile: laptopMap, Mode: node.Userspace, ListenPort: port},
		Socket: filepath.Join(dir, "s"), ProxyListen: []string{"off"},
	})
	if mesh.KindOf(err) != mesh.Conflict || !strings.Contains(err.Error(), "choose another --listen-port") {
		t.Errorf("Run on a taken port = %v", err)
	}
}
