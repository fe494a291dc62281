package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"nexd/internal/eventually"
)

// TestWalkthrough follows a user's walkthrough: two routers and a laptop that reaches the
// containers, with all negative checks.
func TestWalkthrough(t *testing.T) {
	w := newWorld(t, "nft")
	capture := w.capture()
	node1 := w.router("node1", "172.24.0.0/24", "fd00:24::/64")
	node2 := w.router("node2", "172.28.0.0/24")
	laptop := w.join("laptop")

	for _, n := range []*node{node1, node2, laptop} {
		noCapabilities(t, n)
	}
	if out, code := laptop.curl(3*time.Second, "http://172.24.0.10/"); code == 0 {
		t.Fatalf("the laptop reaches the container without the mesh: %s", out)
	}
	for _, url := range []string{"http://172.24.0.10/", "http://172.28.0.10/", "http://[fd00:24::10]/"} {
		laptop.mustFetch(url)
	}
	for _, how := range [][]string{
		{"--socks5", laptop.proxy}, {"--socks5-hostname", laptop.proxy},
		{"-x", "http://" + laptop.proxy}, {"-p", "-x", "http://" + laptop.proxy},
	} {
		if out, code := laptop.curl(10*time.Second, append(how, "http://172.24.0.10/")...); code != 0 || !strings.Contains(out, marker) {
			t.Errorf("curl %v: exit %d, %s", how, code, out)
		}
	}

	t.Run("only WireGuard and TLS on the wire", func(t *testing.T) { capture.check(t) })

	t.Run("status", func(t *testing.T) {
		s := laptop.status()
		if s.Schema != 1 || s.State != "running" || s.Mode != "userspace" || !s.Service.Connected || len(s.Peers) != 2 {
			t.Errorf("status = %+v", s)
		}
		if p := s.Peers[0]; p.Name != "node1" || p.Path != "direct" || !strings.HasPrefix(p.Endpoint, "192.0.2.11:") && !strings.HasPrefix(p.Endpoint, "[2001:db8::11]:") || p.RxBytes == 0 || p.LastHandshake.IsZero() {
			t.Errorf("peer node1 = %+v", p)
		}
		if out, code := laptop.cli(5*time.Second, "status"); code != 0 || !strings.Contains(out, "172.28.0.0/24") {
			t.Errorf("nexd status: exit %d\n%s", code, out)
		}
	})

	t.Run("dropping the tunnel's UDP stops the fetch", func(t *testing.T) {
		w.in("wan", "nft", "add table bridge cut; add chain bridge cut f { type filter hook forward priority 0; }; add rule bridge cut f meta l4proto udp drop")
		if out, code := laptop.curl(4*time.Second, "-x", laptop.socks5h(), "http://172.24.0.10/"); code == 0 {
			t.Errorf("fetched with the tunnel cut: %s", out)
		}
		w.in("wan", "nft", "delete table bridge cut")
		eventually.Within(t, 20*time.Second, "the fetch works again", func() bool {
			_, code := laptop.curl(5*time.Second, "-x", laptop.socks5h(), "http://172.24.0.10/")
			return code == 0
		})
	})

	t.Run("a stopped router takes its own prefix with it", func(t *testing.T) {
		if d := node1.stop(syscall.SIGTERM); d > 2*time.Second {
			t.Errorf("SIGTERM took %v", d)
		}
		if out, code := laptop.curl(4*time.Second, "-x", laptop.socks5h(), "http://172.24.0.10/"); code == 0 {
			t.Errorf("node1 is stopped and its container answers: %s", out)
		}
		laptop.mustFetch("http://172.28.0.10/")
		node1.launch()
		laptop.mustFetch("http://172.24.0.10/")
	})
}

// noCapabilities checks that a node runs as an ordinary user without any capability.
func noCapabilities(t *testing.T, n *node) {
	t.Helper()
	status, err := os.ReadFile(filepath.Join("/proc", itoa(n.pid()), "status"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		f := strings.Fields(line)
		switch f[0] {
		case "CapEff:", "CapPrm:", "CapBnd:", "CapAmb:":
			if strings.Trim(f[1], "0") != "" {
				t.Errorf("%s has %s %s", n.name, f[0], f[1])
			}
		case "Uid:":
			if !inUserNamespace() && f[1] == "0" {
				t.Errorf("%s runs as root", n.name)
			}
		case "Name:":
			if f[1] != "nexd" {
				t.Errorf("process %d is %s, not nexd", n.pid(), f[1])
			}
		}
	}
}
