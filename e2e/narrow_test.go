package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"nexd/internal/eventually"
)

// narrow is a restrictive network. Its rules are in the router between the node and the
// internet.
type narrow struct {
	what, ns string
	n        int // of its router on the wan
	rules    []string
	env      []string // of the agent
}

const connectProxy = "192.0.2.40:3128"

var narrows = []narrow{
	{what: "only TCP 443 out", ns: "https", n: 33, rules: []string{
		"iifname to-https meta l4proto != tcp drop", "iifname to-https tcp dport != 443 drop",
	}},
	{what: "only through an HTTP proxy", ns: "proxied", n: 34, rules: []string{
		"iifname to-proxied ip daddr != 192.0.2.40 drop", "iifname to-proxied meta l4proto != tcp drop", "iifname to-proxied tcp dport != 3128 drop",
	}, env: []string{"HTTPS_PROXY=http://" + connectProxy, "NO_PROXY="}},
	{what: "WireGuard's handshake is filtered", ns: "filtered", n: 35, rules: []string{
		"meta l4proto udp @th,64,32 0x01000000 drop", "meta l4proto udp @th,64,32 0x02000000 drop",
	}},
	{what: "WireGuard's data is filtered", ns: "nodata", n: 36, rules: []string{
		"meta l4proto udp @th,64,32 0x04000000 drop",
	}},
}

// TestNarrowNetworks joins a node in each restrictive network, and then removes and restores
// the restrictions during a connection.
func TestNarrowNetworks(t *testing.T) {
	t.Parallel() // mostly it waits
	w := &world{lab: newLab(t, "curl", "nft")}
	w.host("svc", "192.0.2.1/24")
	w.host("proxy", "192.0.2.40/24")
	w.behindRouter("bob", 32)
	for _, tt := range narrows {
		w.behindRouter(tt.ns, tt.n)
	}
	w.container("c1", "bob", "172.24.0.1/24", "172.24.0.10/24")
	w.serveContainer("c1")
	w.serveAll("192.0.2.1:443")
	proxy := w.start("proxy", "CONNECT proxy", []string{"NEXD_E2E_HELPER=1"}, bin("helper"), "connect-proxy", connectProxy)
	proxy.line("listening", 10*time.Second)
	bob := w.router("bob", "172.24.0.0/24")
	bob.untilRelay()
	t.Run("networks", func(t *testing.T) {
		for _, tt := range narrows {
			t.Run(tt.what, func(t *testing.T) {
				t.Parallel()
				tt.test(t, w.with(t), bob.name4, proxy)
			})
		}
	})
}

func (tt narrow) test(t *testing.T, w *world, bob string, proxy *proc) {
	block := func() {
		w.in("nat-"+tt.ns, "nft", "add table ip narrow; add chain ip narrow f { type filter hook forward priority 0; };"+
			" add rule ip narrow f "+strings.Join(tt.rules, "; add rule ip narrow f "))
	}
	block()
	n := w.joinWith(tt.env, tt.ns)
	n.untilRelay()
	begun := time.Now()
	n.mustFetch("http://172.24.0.10/")
	promised(t, 5*time.Second, time.Since(begun), tt.what+": the first page")
	f := n.flow("172.24.0.10:7")
	n.untilPathTo("bob", "relay", 5*time.Second)
	eventually.Stays(t, time.Second, "the path is relay", func() bool { path, _ := n.pathTo("bob"); return path == "relay" })
	if tt.env != nil { // the watch and the relay, and nothing to anybody else
		said := proxy.log()
		if open := strings.Count(said, "connect 192.0.2.1:443\n") - strings.Count(said, "end 192.0.2.1:443\n"); open < 2 || strings.Count(said, "connect ") != strings.Count(said, "connect 192.0.2.1:443\n") {
			t.Errorf("the proxy has %d connections to the service:\n%s", open, said)
		}
	}

	w.in("nat-"+tt.ns, "nft", "delete table ip narrow")
	promised(t, 30*time.Second, n.untilPathTo("bob", "direct", time.Minute), tt.what+" no more: direct")
	t.Logf("the longest silence on the connection was %v", f.gap())

	block()
	begun = time.Now()
	n.untilFlows(bob, time.Minute)
	promised(t, 5*time.Second, time.Since(begun), tt.what+" again: answers")
	n.untilPathTo("bob", "relay", 20*time.Second) // data may pass where handshakes do not, and the path is left without haste
	t.Logf("by the relay after %v", time.Since(begun))
	looked := time.Now()
	f.gap()
	eventually.Within(t, 20*time.Second, "the connection goes on", func() bool {
		if time.Since(looked) < 300*time.Millisecond {
			return false
		}
		looked = time.Now()
		return f.gap() < 400*time.Millisecond
	})
	t.Logf("the connection runs again after %v", time.Since(begun))
	f.whole()
}

// behindRouter creates a host behind its own NAT on the wan.
func (w *world) behindRouter(name string, n int) {
	w.t.Helper()
	box := "nat-" + name
	w.host(box, fmt.Sprintf("192.0.2.%d/24", n))
	w.container(name, box, "10.1.0.1/24", "10.1.0.10/24")
	w.masquerade(box)
}

// masquerade makes a host a home router, which drops unsolicited packets.
func (w *world) masquerade(box string) {
	w.t.Helper()
	w.in(box, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
	w.in(box, "nft", "add table ip own; add chain ip own in { type filter hook input priority 0; }; add rule ip own in iifname eth0 ct state new drop")
	w.in(box, "nft", "add table ip nat; add chain ip nat post { type nat hook postrouting priority 100; }; add rule ip nat post oifname eth0 masquerade")
}

// serveConnect is an HTTP proxy that supports only CONNECT, and logs its requests.
func serveConnect(addr string) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	fmt.Println("listening")
	return http.Serve(ln, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect {
			http.Error(w, "CONNECT only", http.StatusMethodNotAllowed)
			return
		}
		target, err := net.DialTimeout("tcp", r.Host, 5*time.Second)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer target.Close()
		w.WriteHeader(http.StatusOK)
		client, buf, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		fmt.Println("connect", r.Host)
		defer fmt.Println("end", r.Host)
		go func() {
			defer client.Close()
			io.Copy(client, target)
		}()
		io.Copy(target, buf)
	}))
}
