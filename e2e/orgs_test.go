package e2e

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"nexd/internal/eventually"
)

// service runs a nexservice command while the service is running.
func (w *world) service(args ...string) (string, int) {
	w.t.Helper()
	return w.try("svc", 20*time.Second, append(append([]string{bin("nexservice")}, args...), "--db="+w.db())...)
}

func (w *world) mustService(args ...string) string {
	w.t.Helper()
	out, code := w.service(args...)
	if code != 0 {
		w.t.Fatalf("nexservice %s: exit %d\n%s", strings.Join(args, " "), code, out)
	}
	return out
}

// TestTwoOrganizationsHoldTheSamePrefixes runs two organizations at once; each reaches its
// own container and never the other's.
func TestTwoOrganizationsHoldTheSamePrefixes(t *testing.T) {
	w := newWorld(t)
	w.host("node3", "192.0.2.13/24")
	w.host("laptop2", "192.0.2.22/24")
	w.container("c3", "node3", "172.24.0.1/24", "172.24.0.10/24") // the same prefix as c1's
	w.serveContainer("c3")
	w.router("node1", "172.24.0.0/24")
	laptop := w.join("laptop")

	first := w.key
	w.mustService("org", "create", "second")
	w.key = filepath.Join(w.ownDir("svc"), "second.key")
	w.mustService("key", "create", "--org=second", "--reg-key-out="+w.key)
	w.router("node3", "172.24.0.0/24")
	laptop2 := w.join("laptop2")

	for n, want := range map[*node]string{laptop: marker + " c1", laptop2: marker + " c3"} {
		for _, url := range []string{"http://172.24.0.10/"} {
			if out, code := n.curl(15*time.Second, "-x", n.socks5h(), url); code != 0 || !strings.Contains(out, want) {
				t.Errorf("%s: exit %d, %q, want %q", n.ns, code, out, want)
			}
		}
	}
	if laptop.name4 != laptop2.name4 {
		t.Logf("addresses %s and %s: the organizations drew different ones", laptop.name4, laptop2.name4)
	}
	w.key = first
}

// TestPrefixesAreUniqueAndHeld tests conflict, holding and release of a prefix.
func TestPrefixesAreUniqueAndHeld(t *testing.T) {
	w := newWorld(t)
	node1 := w.router("node1", "172.24.0.0/24")
	p := w.start("node2", "conflict", nil, bin("nexd"), "router", "--advertise-cidr=172.24.0.0/16", "--userspace", "--proxy-listen=off",
		"--reg-key-file="+w.key, "--state-dir="+w.ownDir("state-node2"), w.url)
	if code := p.exit(15 * time.Second); code != 1 {
		t.Errorf("a conflicting router exits with %d, want 1", code)
	}
	for _, want := range []string{"172.24.0.0/24", "node1", "release"} {
		if !strings.Contains(p.log(), want) {
			t.Errorf("the refusal does not name %q:\n%s", want, p.log())
		}
	}
	if out := w.mustService("node", "list"); strings.Contains(out, "node2") {
		t.Errorf("the refused node is half registered:\n%s", out)
	}
	node1.stop(syscall.SIGTERM) // held all the same
	p = w.start("node2", "still held", nil, bin("nexd"), "router", "--advertise-cidr=172.24.0.0/24", "--userspace", "--proxy-listen=off",
		"--reg-key-file="+w.key, "--state-dir="+w.ownDir("state-node2"), w.url)
	if code := p.exit(15 * time.Second); code != 1 {
		t.Errorf("a prefix whose holder is stopped was given away: exit %d", code)
	}
	w.mustService("prefix", "release", "172.24.0.0/24", "--org=default")
	w.router("node2", "172.24.0.0/24")
	laptop := w.join("laptop")
	s := laptop.status()
	for _, peer := range s.Peers {
		if want := peer.Name == "node2"; want != (len(peer.Prefixes) == 1) {
			t.Errorf("peer %s has prefixes %v", peer.Name, peer.Prefixes)
		}
	}
}

// TestRemovedNodeIsOut removes a connected node.
func TestRemovedNodeIsOut(t *testing.T) {
	w := newWorld(t)
	node1 := w.router("node1", "172.24.0.0/24")
	laptop := w.join("laptop")
	laptop.mustFetch("http://172.24.0.10/")
	w.mustService("node", "remove", "laptop", "--org=default")
	if code := laptop.exit(10 * time.Second); code != 1 || !strings.Contains(laptop.log(), "removed") {
		t.Errorf("the removed node exits with %d\n%s", code, laptop.log())
	}
	eventually.Within(t, 5*time.Second, "the router forgets it", func() bool { return len(node1.status().Peers) == 0 })
}
