package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestReplacingStarts starts a router on an empty directory again and again with a key made with
// --replace, as an engine does with a container: killed, then stopped. Each start serves the prefix
// as the same name, and nothing is left of those before. NEXD_E2E_LONG makes it three starts.
func TestReplacingStarts(t *testing.T) {
	t.Parallel() // it waits for nodes to count as offline
	w := newWorld(t)
	laptop := w.join("laptop")
	w.key = filepath.Join(w.ownDir("svc"), "replace.key")
	w.mustService("key", "create", "--replace", "--reg-key-out="+w.key)
	starts := 2
	if os.Getenv("NEXD_E2E_LONG") != "" {
		starts = 3
	}
	for i := range starts {
		n := &node{w: w, ns: "node1", state: w.ownDir("state-start-" + string(rune('a'+i)))}
		n.args = []string{bin("nexd"), "router", "--proxy-listen=off", "--advertise-cidr=172.24.0.0/24", "--userspace", "--hostname=edge",
			"--reg-key-file=" + w.key, "--state-dir=" + n.state, w.url}
		n.proc = w.start("node1", "nexd edge", nil, n.args...)
		n.isReady(n.line("ready edge ", 130*time.Second))
		w.must("laptop", 30*time.Second, "curl", "-sf", "--retry", "5", "--retry-all-errors", "-x", laptop.socks5h(), "http://172.24.0.10/")
		if list := w.mustService("node", "list"); strings.Count(list, "edge") != 1 {
			t.Errorf("start %d: nodes\n%s", i+1, list)
		}
		if list := w.mustService("prefix", "list"); strings.Count(list, "172.24.0.0/24") != 1 {
			t.Errorf("start %d: prefixes\n%s", i+1, list)
		}
		sig := syscall.SIGKILL
		if i%2 == 1 {
			sig = syscall.SIGTERM
		}
		n.stop(sig)
	}
}
