package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nexd/internal/eventually"
)

// TestStaticMap connects two nodes without a service.
func TestStaticMap(t *testing.T) {
	w := &world{lab: newLab(t, "curl")}
	w.host("node1", "192.0.2.11/24")
	w.host("laptop", "192.0.2.21/24")
	w.container("c1", "node1", "172.24.0.1/24", "172.24.0.10/24")
	w.serveContainer("c1")
	key := map[string]string{}
	for _, n := range []string{"node1", "laptop"} {
		key[n] = strings.TrimSpace(w.must(n, 5*time.Second, bin("nexd"), "key", "--state-dir="+w.ownDir("state-"+n)))
	}
	write := func(name, text string) string {
		path := filepath.Join(w.dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	entry := func(name, args string) string { return fmt.Sprintf(`{"name":%q,"key":%q,%s}`, name, key[name], args) }
	routerMap := write("node1.json", fmt.Sprintf(`{"self":%s,"peers":[%s]}`,
		entry("node1", `"addresses":["100.64.0.1","fd00::1"]`), entry("laptop", `"addresses":["100.64.0.2","fd00::2"]`)))
	laptopMap := write("laptop.json", fmt.Sprintf(`{"self":%s,"peers":[%s]}`,
		entry("laptop", `"addresses":["100.64.0.2","fd00::2"]`),
		entry("node1", `"addresses":["100.64.0.1","fd00::1"],"prefixes":["172.24.0.0/24"],"endpoints":["192.0.2.99:51820","192.0.2.11:51820"]`)))
	start := func(ns string, args ...string) *node {
		n := &node{w: w, ns: ns, state: w.ownDir("state-" + ns)}
		n.args = append(append([]string{bin("nexd")}, args...), "--userspace", "--state-dir="+n.state)
		n.launch()
		return n
	}
	start("node1", "router", "--advertise-cidr=172.24.0.0/24", "--listen-port=51820", "--map="+routerMap, "--proxy-listen=off")
	laptop := start("laptop", "join", "--map="+laptopMap)
	laptop.mustFetch("http://172.24.0.10/") // the dead candidate 192.0.2.99 does not matter
	if s := laptop.status(); s.Organization != "static" || s.Peers[0].Endpoint != "192.0.2.11:51820" {
		t.Errorf("status %+v", s)
	}
	write("laptop.json", fmt.Sprintf(`{"self":%s,"peers":[]}`, entry("laptop", `"addresses":["100.64.0.2"]`)))
	eventually.Within(t, 10*time.Second, "the changed map is applied", func() bool { return len(laptop.status().Peers) == 0 })
	write("laptop.json", "{")
	eventually.Stays(t, 3*time.Second, "the node runs on with a broken map file", func() bool { return laptop.status().State == "running" })
}
