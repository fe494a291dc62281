package router

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"nexd/internal/eventually"
)

// insideEnv marks the test binary that runs in a network namespace made for it. The namespace has a
// live host, 10.77.0.1 and fd77::1 (its own), networks without other hosts, and no default route.
const insideEnv = "NEXD_ROUTER_TEST_INSIDE"

const namespaceSetup = `set -e
echo "0 0" > /proc/sys/net/ipv4/ping_group_range
ip link set lo up
ip link add router0 type veth peer name router1
ip addr add 10.77.0.1/24 dev router0
ip -6 addr add fd77::1/64 dev router0 nodad
ip link set router0 up
ip link set router1 up
exec "$@"`

func TestInANamespace(t *testing.T) {
	if os.Getenv(insideEnv) != "" {
		t.Skip("this is the inside")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("no ip program to set a namespace up")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"-c", namespaceSetup, "sh", self, "-test.run=^TestInside$", "-test.v", "-test.parallel=64"}
	cmd := exec.Command("sh", args...)
	cmd.Env = append(os.Environ(), insideEnv+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	switch {
	case err == nil && bytes.Contains(out, []byte("--- PASS: TestInside")):
	case bytes.Contains(out, []byte("=== RUN")):
		t.Errorf("inside the namespace: %v\n%s", err, out)
	default:
		t.Skipf("no namespace here: %v\n%s", err, out)
	}
}

func TestInside(t *testing.T) {
	if os.Getenv(insideEnv) == "" {
		t.Skip("run by TestInANamespace")
	}
	log := new(bytes.Buffer)
	r, err := New(Config{Advertisements: ads(t, "10.201.0.0/24=10.77.0.0/24", "fd01::/64=fd77::/64", "10.88.0.0/24"),
		Logger: slog.New(slog.NewTextHandler(log, nil)), Limits: Limits{DialTimeout: 5 * time.Second}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	eventually.True(t, "the router runs and has chosen its pings", func() bool {
		return r.isRunning() && r.echoes.method(netip.IPv6Loopback()).ping != nil
	})
	t.Run("flows", func(t *testing.T) { // all at once: a neighbour takes 3 s to be missed
		for _, tt := range []struct{ protocol, dst, want string }{
			{"echo", "10.201.0.1", "reply"}, {"echo", "fd01::1", "reply"},
			{"echo", "10.201.0.9", "host unreachable"}, {"echo", "fd01::9", "host unreachable"},
			{"echo", "10.88.0.1", "network unreachable"},
			{"tcp", "10.201.0.1:1", "refuse"}, {"tcp", "[fd01::1]:1", "refuse"},
			{"tcp", "10.201.0.9:1", "host unreachable"}, {"tcp", "[fd01::9]:1", "host unreachable"},
			{"tcp", "10.88.0.1:1", "network unreachable"},
			{"udp", "10.201.0.1:1", "accept port"}, {"udp", "[fd01::1]:1", "accept port"},
			{"udp", "10.201.0.9:1", "accept host"}, {"udp", "[fd01::9]:1", "accept host"},
			{"udp", "10.88.0.1:1", "network unreachable"},
			{"udp", "10.201.0.255:1", "prohibited"},
		} {
			t.Run(tt.protocol+" "+tt.dst, func(t *testing.T) {
				t.Parallel()
				if got := ask(r, tt.protocol, tt.dst); got != tt.want {
					t.Errorf("%s", got)
				}
			})
		}
	})
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if n := strings.Count(log.String(), `ipv4="ping socket" ipv6="ping socket"`); n != 1 {
		t.Errorf("the method is named %d times:\n%s", n, log)
	}
	t.Run("a ping as large as it gets", func(t *testing.T) {
		big := probe{target: netip.MustParseAddr("10.77.0.1"), seq: 65535, payload: make([]byte, 65507-echoHeader)}
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		if err := pingSocket(ctx, big); err != nil {
			t.Error(err)
		}
	})
	t.Run("the ping program", insidePingProgram)
}

// ask sends one flow and returns the answer.
func ask(r *Router, protocol, dst string) string {
	timeout := time.After(8 * time.Second)
	wait := func(ch chan string) string {
		select {
		case v := <-ch:
			return v
		case <-timeout:
			return "nothing"
		}
	}
	switch protocol {
	case "echo":
		e := echoTo("100.64.0.2", dst)
		r.Echo(e)
		return wait(e.ch)
	case "tcp":
		f := tcpFlow(peer, dst)
		go r.TCP(f)
		return wait(f.ch)
	default:
		f := udpFlow(peer, dst)
		r.UDP(f)
		v := wait(f.ch)
		if v == "accept" {
			f.client.Write([]byte("anybody?"))
			v += " " + wait(f.client.heard)
		}
		return v
	}
}

func insidePingProgram(t *testing.T) {
	for _, tt := range []struct {
		dst  string
		want outcome
	}{{"10.77.0.1", connected}, {"10.77.0.9", noHost}, {"10.88.0.1", noNet}, {"fd77::1", connected}, {"fd77::9", noHost}} {
		t.Run(tt.dst, func(t *testing.T) {
			t.Parallel()
			target := netip.MustParseAddr(tt.dst)
			self := netip.IPv6Loopback()
			if target.Is4() {
				self = netip.MustParseAddr("127.0.0.1")
			}
			ask := findPing(context.Background(), self)
			if ask == nil {
				t.Skip("no ping program works here")
			}
			ctx, cancel := context.WithTimeout(context.Background(), 6*time.Second)
			defer cancel()
			if err := ask(ctx, probe{target: target, seq: 1, payload: []byte("x")}); outcomeOf(err) != tt.want {
				t.Errorf("%v is %v, want %v", fmt.Sprint(err), outcomeOf(err), tt.want)
			}
		})
	}
}
