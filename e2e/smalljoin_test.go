package e2e

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"nexd/internal/eventually"
)

// loses makes a router lose packets that are longer than 1,300 bytes, without a word.
func (w *world) loses(box, rules string) {
	w.t.Helper()
	w.in(box, "nft", "add table inet hole; add chain inet hole f { type filter hook forward priority 0; }; add rule inet hole f meta length > 1300 drop"+rules)
}

// single makes the hosts send segments one by one, so that a rule sees each.
func (w *world) single(hosts ...string) {
	w.t.Helper()
	for _, h := range hosts {
		w.in(h, "ip", "link", "set", "dev", "eth0", "gso_max_segs", "1")
	}
}

// TestSmallJoins joins from networks that lose every full segment, before nexd starts: by IPv4, by
// IPv6 and through an HTTP proxy. Data passes the relay over TCP, and the loss is said.
func TestSmallJoins(t *testing.T) {
	t.Parallel()
	w := &world{lab: newLab(t, "curl", "nft")}
	w.host("svc", "192.0.2.1/24", "2001:db8::1/64")
	w.host("proxy", "192.0.2.40/24")
	w.behindRouter("bob", 32)
	w.behindRouter("four", 33)
	w.behindRouter("proxied", 34)
	w.behindRouter("late", 36)
	w.host("nat-six", "2001:db8::35/64")
	w.container("six", "nat-six", "2001:db8:35::1/64", "2001:db8:35::10/64")
	w.in("nat-six", "sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/all/forwarding")
	w.in("svc", "ip", "route", "add", "2001:db8:35::/64", "via", "2001:db8::35")
	w.container("c1", "bob", "172.24.0.1/24", "172.24.0.10/24")
	w.single("svc", "proxy", "four", "proxied", "six", "late")
	w.serveContainer("c1")
	w.bootstrapAt("192.0.2.1:8443")
	w.serveArgs = []string{"--stun-listen=192.0.2.1:3478", "--stun-listen=192.0.2.1:3479"}
	w.serve()
	proxy := w.start("proxy", "CONNECT proxy", []string{"NEXD_E2E_HELPER=1"}, bin("helper"), "connect-proxy", connectProxy)
	proxy.line("listening", 10*time.Second)
	w.router("bob", "172.24.0.0/24").untilRelay()
	w.loses("nat-four", "")
	noUDP := "; add rule inet hole f meta l4proto udp drop"
	w.loses("nat-six", noUDP)
	w.loses("nat-proxied", noUDP)

	r, code := w.netcheck("four", w.url).report()
	if loss := r.Service.Loss; code != 0 || loss == nil || loss.Size != 1500 || loss.Fits != 1160 || r.IPv4.PathMTU != 1300 {
		t.Errorf("netcheck: exit code %d, service %+v, loss %+v, path MTU %d", code, r.Service, loss, r.IPv4.PathMTU)
	}
	w.in("nat-four", "nft", "add rule inet hole f meta l4proto udp drop")

	t.Run("late", func(t *testing.T) {
		t.Parallel()
		w.with(t).lossLater(t, "late")
	})
	_, port, _ := net.SplitHostPort(w.addr)
	for _, tt := range []struct {
		ns, host string
		fits     int
		env      []string
	}{
		{"four", "192.0.2.1", 1160, nil},
		{"six", "2001:db8::1", 1180, nil},
		{"proxied", "192.0.2.1", 1160, []string{"HTTPS_PROXY=http://" + connectProxy, "NO_PROXY="}},
	} {
		t.Run(tt.ns, func(t *testing.T) {
			t.Parallel()
			at := *w.with(t)
			at.url = strings.Replace(w.url, w.addr, net.JoinHostPort(tt.host, port), 1)
			begun := time.Now()
			n := at.joinWith(tt.env, tt.ns)
			promised(t, 10*time.Second, time.Since(begun), "joined")
			n.untilRelay()
			out, code := n.curl(time.Minute, "-x", n.socks5h(), "-o", "/dev/null", "-w", "%{size_download}", "http://172.24.0.10/bytes?n=20000000")
			if code != 0 || out != "20000000" {
				t.Errorf("20 MB through the relay: exit code %d, %s", code, out)
			}
			up := n.sendFile(t, 20_000_000)
			if !strings.Contains(up, " 20000000") {
				t.Errorf("20 MB to the relay: %s", up)
			}
			want := fmt.Sprintf("packets of at most %d bytes are used", tt.fits)
			eventually.Within(t, 10*time.Second, "status says it", func() bool { return strings.Contains(strings.Join(n.status().Health, "\n"), want) })
		})
	}
}

// lossLater narrows the path of a node that uses the relay over TCP.
func (w *world) lossLater(t *testing.T, ns string) {
	w.in("nat-"+ns, "nft", "add table ip cut; add chain ip cut f { type filter hook forward priority 0; }; add rule ip cut f meta l4proto udp drop")
	n := w.join(ns)
	n.untilRelay()
	n.mustFetch("http://172.24.0.10/")
	w.loses("nat-"+ns, "")
	begun := time.Now()
	out, code := n.curl(40*time.Second, "-x", n.socks5h(), "-o", "/dev/null", "-w", "%{size_download}", "http://172.24.0.10/bytes?n=5000000")
	if code != 0 || out != "5000000" {
		t.Errorf("5 MB through the relay: exit code %d, %s", code, out)
	}
	t.Logf("5 MB through the relay %v after the path became narrow", time.Since(begun))
	eventually.Within(t, 10*time.Second, "status says it", func() bool {
		return strings.Contains(strings.Join(n.status().Health, "\n"), "packets of at most 1160 bytes are used")
	})
}

// sendFile posts n bytes to the container and returns its answer.
func (n *node) sendFile(t *testing.T, size int) string {
	t.Helper()
	out, _ := n.w.tryAs(n.ns, time.Minute, unprivileged([]string{"sh", "-c",
		fmt.Sprintf("head -c %d /dev/zero | curl -sS --max-time 50 -x %s --data-binary @- http://172.24.0.10/sum", size, n.socks5h())}))
	return out
}
