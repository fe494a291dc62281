package e2e

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"nexd/internal/eventually"
)

// openMany opens more connections to the proxy than the node has descriptors for.
const openMany = `
import socket, sys
held = [socket.create_connection(("127.0.0.1", 1080)) for _ in range(200)]
print("open", flush=True)
sys.stdin.read()
`

// TestOutOfDescriptors limits a node's descriptors. Without free descriptors the node pauses
// accepting, logs that once and does not spin; it continues when descriptors are free.
func TestOutOfDescriptors(t *testing.T) {
	w := newWorld(t, "prlimit", python)
	w.router("node1", "172.24.0.0/24")
	laptop := &node{w: w, ns: "laptop", state: w.ownDir("state-laptop")}
	laptop.args = []string{"prlimit", "--nofile=80:80", bin("nexd"), "--userspace", "--hostname=laptop", "--reg-key-file=" + w.key, "--state-dir=" + laptop.state, w.url}
	laptop.launch()
	laptop.mustFetch("http://172.24.0.10/")
	// A descriptor that is freed later, by the connection of the fetch for one, would let
	// the proxy accept once more.
	files, since := 0, time.Now()
	eventually.True(t, "the node's descriptors are at rest", func() bool {
		if n := openFiles(t, laptop); n != files {
			files, since = n, time.Now()
		}
		return time.Since(since) > time.Second
	})
	p := w.startWithInput("laptop", "many", nil, python, "-c", openMany)
	p.line("open", 20*time.Second)
	said := func() int { return strings.Count(laptop.log(), "pauses accepting") }
	eventually.Within(t, 10*time.Second, "it is said that nobody can be accepted", func() bool { return said() > 0 })
	w.in("laptop", "ip", "addr", "add", "127.0.77.1/32", "dev", "lo") // has the node read its addresses
	before := cpuTicks(t, laptop)
	eventually.Stays(t, 3*time.Second, "it is said once", func() bool { return said() == 1 })
	if used := cpuTicks(t, laptop) - before; used > 100 { // a tick is 10 ms
		t.Errorf("in 3 s without descriptors: %d ms of processor time", 10*used)
	}
	if strings.Contains(laptop.log(), "endpoints=[]") || strings.Contains(laptop.log(), "addrs=[]") {
		t.Error("the node tells its peers that it has no address, because it could not read them")
	}
	p.endInput()
	p.exit(10 * time.Second)
	laptop.mustFetch("http://172.24.0.10/")
	if !strings.Contains(laptop.log(), "accepts again") {
		t.Error("it is not said that the proxy accepts again")
	}
}

// cpuTicks returns the processor time of a node.
func cpuTicks(t *testing.T, n *node) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", n.pid()))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return user + system
}
