package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestAStaticMapNamesASecondAddress connects a laptop behind a NAT to a router whose firewall lets in
// only its second address. There is no relay.
func TestAStaticMapNamesASecondAddress(t *testing.T) {
	t.Parallel()
	w := &world{lab: newLab(t, "curl", "nft")}
	w.home("laptop", 31, portRestricted)
	w.host("gate", "192.0.2.40/24")
	w.container("node1", "gate", "203.0.113.1/24", "203.0.113.10/24")
	w.in("node1", "ip", "addr", "add", "203.0.113.20/24", "dev", "eth0")
	w.container("c1", "node1", "172.24.0.1/24", "172.24.0.10/24")
	w.serveContainer("c1")
	w.in("gate", "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
	w.in("gate", "nft", "add table ip gate; add chain ip gate f { type filter hook forward priority 0; policy drop; };"+
		" add rule ip gate f ct state established,related accept; add rule ip gate f ip daddr 203.0.113.20 udp dport 51820 accept")
	w.in("nat-laptop", "ip", "route", "add", "203.0.113.0/24", "via", "192.0.2.40")
	key := map[string]string{}
	for _, ns := range []string{"node1", "laptop"} {
		key[ns] = strings.TrimSpace(w.must(ns, 5*time.Second, bin("nexd"), "key", "--state-dir="+w.ownDir("state-"+ns)))
	}
	start := func(ns, self, peer string, args ...string) *node {
		file := filepath.Join(w.dir, ns+".json")
		if err := os.WriteFile(file, []byte(fmt.Sprintf(`{"self":{%s},"peers":[{%s}]}`, self, peer)), 0o644); err != nil {
			t.Fatal(err)
		}
		n := &node{w: w, ns: ns, state: w.ownDir("state-" + ns)}
		n.args = append(append([]string{bin("nexd")}, args...), "--userspace", "--state-dir="+n.state, "--map="+file)
		n.launch()
		return n
	}
	node1, laptop := fmt.Sprintf(`"name":"node1","key":%q,"addresses":["100.64.0.1"]`, key["node1"]), fmt.Sprintf(`"name":"laptop","key":%q,"addresses":["100.64.0.2"]`, key["laptop"])
	start("node1", node1, laptop, "router", "--advertise-cidr=172.24.0.0/24", "--listen-port=51820", "--proxy-listen=off")
	l := start("laptop", laptop, node1+`,"prefixes":["172.24.0.0/24"],"endpoints":["203.0.113.20:51820"]`, "join")
	l.mustFetch("http://172.24.0.10/")
	if _, at := l.pathTo("node1"); at != "203.0.113.20:51820" {
		t.Errorf("the path leads to %s", at)
	}
}
