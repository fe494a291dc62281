package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"nexd/internal/eventually"
)

// TestRefusedUnreachableAndSilentAreToldApart tests refused, unreachable and silent
// targets, from the SOCKS reply to the HTTP status.
func TestRefusedUnreachableAndSilentAreToldApart(t *testing.T) {
	w := newWorld(t, "nft")
	w.router("node1", "172.24.0.0/24", "10.66.0.0/24")
	laptop := w.join("laptop")
	laptop.mustFetch("http://172.24.0.10/")
	w.in("c1", "nft", "add table inet quiet; add chain inet quiet in { type filter hook input priority 0; }; add rule inet quiet in tcp dport 81 drop")
	for _, tt := range []struct {
		what, url   string
		within      time.Duration
		socks, http string
	}{
		{"closed port", "http://172.24.0.10:4444/", time.Second, "(5)", "502"},
		{"no such host on the container's network", "http://172.24.0.99/", 6 * time.Second, "(4)", "502"},
		{"no route on the router", "http://10.66.0.1/", 2 * time.Second, "(3)", "502"},
		{"no such node", "http://100.100.100.100/", time.Second, "(4)", "502"},
		{"no such name", "http://nobody.nexd.internal/", time.Second, "(4)", "502"},
		{"outside the mesh", "http://198.51.100.7/", time.Second, "(2)", "403"},
		{"silent port", "http://172.24.0.10:81/", 35 * time.Second, "(6)", "504"},
	} {
		t.Run("SOCKS/"+tt.what, func(t *testing.T) {
			t.Parallel() // some take half a minute
			start := time.Now()
			out, code := laptop.curl(40*time.Second, "-x", laptop.socks5h(), tt.url)
			if took := time.Since(start); code != 97 || !strings.Contains(out, tt.socks) || took > tt.within {
				t.Errorf("exit %d after %v, want 97 with reply %s within %v\n%s", code, took, tt.socks, tt.within, out)
			}
		})
		t.Run("HTTP/"+tt.what, func(t *testing.T) {
			t.Parallel()
			start := time.Now()
			out, code := laptop.curl(40*time.Second, "-x", "http://"+laptop.proxy, "-w", "status=%{http_code}", tt.url)
			if took := time.Since(start); code != 0 || !strings.Contains(out, "status="+tt.http) || took > tt.within {
				t.Errorf("exit %d after %v, want status %s within %v\n%s", code, took, tt.http, tt.within, out)
			}
		})
	}
}

// TestPingIsAnsweredOnlyByTheLiving pings nodes, containers and unused addresses.
func TestPingIsAnsweredOnlyByTheLiving(t *testing.T) {
	w := newWorld(t)
	node1 := w.router("node1", "172.24.0.0/24", "fd00:24::/64")
	laptop := w.join("laptop")
	for _, tt := range []struct {
		target string
		alive  bool
	}{
		{"node1", true}, {node1.name4, true}, {node1.name6, true}, {laptop.name4, true},
		{"172.24.0.10", true}, {"fd00:24::10", true},
		{"172.24.0.99", false}, {"fd00:24::99", false}, {"100.100.100.100", false}, {"nobody", false}, {"198.51.100.1", false},
	} {
		out, code := laptop.cli(30*time.Second, "ping", "-c1", tt.target)
		if alive := code == 0 && strings.Contains(out, "1 of 1 answered"); alive != tt.alive {
			t.Errorf("ping %s: exit %d, want alive %v\n%s", tt.target, code, tt.alive, out)
		}
	}
}

// TestManyDeadHostsDoNotBlockALiveOne connects to a live host during many dials to silent
// ones.
func TestManyDeadHostsDoNotBlockALiveOne(t *testing.T) {
	w := newWorld(t, "nft")
	w.in("node1", "nft", "add table inet quiet; add chain inet quiet out { type filter hook output priority 0; }; add rule inet quiet out ip daddr 172.24.0.128/25 drop")
	w.router("node1", "172.24.0.0/24")
	laptop := w.join("laptop")
	laptop.mustFetch("http://172.24.0.10/")
	for i := range 60 {
		w.start("laptop", "scan", nil, "curl", "-s", "--max-time", "20", "-x", laptop.socks5h(), fmt.Sprintf("http://172.24.0.%d/", 130+i))
	}
	eventually.True(t, "all of them wait for an answer", func() bool {
		return len(strings.Split(strings.TrimSpace(w.in("laptop", "ss", "-Htn", "state", "established", "sport = :1080")), "\n")) >= 60
	})
	for range 5 {
		start := time.Now()
		laptop.mustFetch("http://172.24.0.10/")
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("a live host took %v while dead ones are dialled", took)
		}
	}
}

// TestMappingAndAllowLocal maps a prefix and allows one loopback port.
func TestMappingAndAllowLocal(t *testing.T) {
	w := newWorld(t)
	w.start("node1", "local", []string{"NEXD_E2E_HELPER=1"}, bin("helper"), "node1-itself").line("serves", 30*time.Second) // on node1's own loopback too
	w.join("node1", "router", "--proxy-listen=off", "--advertise-cidr=10.201.0.0/24=172.24.0.0/24",
		"--advertise-cidr=10.99.0.1/32=127.0.0.1/32", "--allow-local=127.0.0.1:80")
	laptop := w.join("laptop")
	laptop.mustFetch("http://10.201.0.10/")
	if out, code := laptop.curl(5*time.Second, "-x", laptop.socks5h(), "http://172.24.0.10/"); code == 0 {
		t.Errorf("the unmapped prefix is reached: %s", out)
	}
	laptop.mustFetch("http://10.99.0.1/")
	if out, code := laptop.curl(5*time.Second, "-x", laptop.socks5h(), "http://10.99.0.1:7/"); code != 97 {
		t.Errorf("a loopback port that was not allowed: exit %d\n%s", code, out)
	}
}

// TestForwardsBothWays uses -L and -R for TCP and UDP, IPv4 and IPv6.
func TestForwardsBothWays(t *testing.T) {
	w := newWorld(t)
	w.router("node1", "172.24.0.0/24", "fd00:24::/64")
	w.start("node2", "web", []string{"NEXD_E2E_HELPER=1"}, bin("helper"), "on-node2").line("serves", 30*time.Second)
	node2 := w.join("node2", "--proxy-listen=off", "-R", "8088:127.0.0.1:80", "-R", "7007:127.0.0.1:7/udp")
	laptop := w.join("laptop", "-L", "8081:172.24.0.10:80", "-L", "8082:[fd00:24::10]:80", "-L", "5353:172.24.0.10:7/udp", "-L", "5354:node2:7007/udp", "-L", "5355:172.24.0.10:4/udp")
	for _, url := range []string{"http://127.0.0.1:8081/", "http://127.0.0.1:8082/"} {
		if out, code := laptop.curl(10*time.Second, url); code != 0 || !strings.Contains(out, marker) {
			t.Errorf("%s: exit %d %s", url, code, out)
		}
	}
	for _, url := range []string{"http://node2:8088/", "http://node2.nexd.internal:8088/", "http://" + node2.name4 + ":8088/", "http://[" + node2.name6 + "]:8088/"} {
		laptop.mustFetch(url)
	}
	for _, port := range []string{"5353", "5354"} {
		if out := w.must("laptop", 10*time.Second, "env", "NEXD_E2E_HELPER=1", bin("helper"), "udp", "127.0.0.1:"+port, "hello-"+port); !strings.Contains(out, "hello-"+port) {
			t.Errorf("UDP through %s: %s", port, out)
		}
	}
	if out, code := laptop.cli(5*time.Second, "forward", "list"); code != 0 || !strings.Contains(out, "8081:172.24.0.10:80") {
		t.Errorf("forward list: exit %d\n%s", code, out)
	}
	if out, code := laptop.cli(5*time.Second, "forward", "add", "-L", "8083:node2:8088"); code != 0 {
		t.Errorf("forward add: exit %d\n%s", code, out)
	}
	if out, code := laptop.curl(10*time.Second, "http://127.0.0.1:8083/"); code != 0 || !strings.Contains(out, marker) {
		t.Errorf("added forward: exit %d %s", code, out)
	}
	if out, code := laptop.cli(5*time.Second, "forward", "remove", "-L", "8083:node2:8088"); code != 0 {
		t.Errorf("forward remove: exit %d\n%s", code, out)
	}
	if _, code := laptop.curl(5*time.Second, "http://127.0.0.1:8083/"); code != 7 {
		t.Errorf("removed forward still listens: curl exit %d", code)
	}
}

// TestWithoutAnyIPv4 runs the whole mesh over a network that has only IPv6.
func TestWithoutAnyIPv4(t *testing.T) {
	w := newWorldAt(t, "[2001:db8::1]:8443", func(n int) []string { return []string{fmt.Sprintf("2001:db8::%d/64", n)} })
	node1 := w.router("node1", "172.24.0.0/24", "fd00:24::/64")
	laptop := w.join("laptop")
	for _, url := range []string{"http://[fd00:24::10]/", "http://172.24.0.10/"} {
		laptop.mustFetch(url)
	}
	if s := laptop.status(); !strings.HasPrefix(s.Peers[0].Endpoint, "[2001:db8::11]:") {
		t.Errorf("path to node1 is %q", s.Peers[0].Endpoint)
	}
	if out, code := laptop.cli(10*time.Second, "ping", "-c1", node1.name6); code != 0 {
		t.Errorf("ping: exit %d\n%s", code, out)
	}
}
