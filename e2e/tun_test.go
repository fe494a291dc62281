package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// joinTUN starts nexd in TUN mode in a namespace, as root there, and waits until
// it is ready.
func (w *world) joinTUN(ns string, args ...string) *node {
	w.t.Helper()
	n := &node{w: w, ns: ns, root: true, state: filepath.Join(w.dir, "tun-"+ns)}
	if err := os.MkdirAll(n.state, 0o700); err != nil {
		w.t.Fatal(err)
	}
	n.args = append(append([]string{bin("nexd")}, args...), "--tun", "--hostname="+ns, "--reg-key-file="+w.key, "--state-dir="+n.state, w.url)
	n.launch()
	return n
}

func (w *world) routerTUN(ns string, cidrs ...string) *node {
	w.t.Helper()
	args := []string{"router", "--proxy-listen=off"}
	for _, c := range cidrs {
		args = append(args, "--advertise-cidr="+c)
	}
	return w.joinTUN(ns, args...)
}

// mustPing pings an address from a namespace with the system's own ping.
func (l *lab) mustPing(ns string, addrs ...string) {
	l.t.Helper()
	for _, a := range addrs {
		out, code := l.tryAs(ns, 20*time.Second, []string{"ping", "-n", "-c", "3", "-i", "0.2", "-W", "3", a})
		if code != 0 {
			l.t.Errorf("ping %s from %s: exit %d\n%s", a, ns, code, out)
		}
	}
}

// fetch gets the page of a container by plain routing.
func (l *lab) fetch(ns, url string) string {
	l.t.Helper()
	out, code := l.tryAs(ns, 15*time.Second, []string{"curl", "-sS", "--noproxy", "*", "--max-time", "10", url})
	if code != 0 || !strings.Contains(out, marker) {
		l.t.Errorf("fetch %s from %s: exit %d\n%s", url, ns, code, out)
	}
	return out
}

// TestSpokeInTUNMode: a node with an interface reaches containers behind rootless
// routers with its own programs, and everything of userspace mode still works.
func TestSpokeInTUNMode(t *testing.T) {
	w := newWorld(t, "ping")
	w.router("node1", "172.24.0.0/24", "fd00:24::/64")
	laptop := w.joinTUN("laptop", "-L", "8080:172.24.0.10:80", "-R", "80:127.0.0.1:9")
	w.mustPing("laptop", "172.24.0.10", "fd00:24::10")
	w.fetch("laptop", "http://172.24.0.10/")
	w.fetch("laptop", "http://[fd00:24::10]/")
	w.fetch("laptop", "http://127.0.0.1:8080/")
	laptop.mustFetch("http://172.24.0.10/") // through its proxy
	laptop.mustFetch("http://[fd00:24::10]/")
	s := laptop.status()
	if s.Mode != "tun" || s.Interface != "wg0" || len(s.Skipped) > 0 {
		t.Errorf("status: mode %s, interface %s, skipped %v", s.Mode, s.Interface, s.Skipped)
	}
	for _, target := range []string{"node1", "172.24.0.10", "fd00:24::10", laptop.name4} {
		if out, code := laptop.cli(15*time.Second, "ping", "-c1", target); code != 0 {
			t.Errorf("nexd ping %s: exit %d\n%s", target, code, out)
		}
	}
	if out := w.in("laptop", "ip", "route", "get", "172.24.0.10"); !strings.Contains(out, "dev wg0") {
		t.Errorf("route: %s", out)
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", laptop.pid()))
	if err != nil || !strings.Contains(string(b), "CapEff:\t0000000000001000\n") || !strings.Contains(string(b), "CapBnd:\t0000000000000000\n") {
		t.Errorf("capabilities of the running node (%v):\n%s", err, b)
	}
}
