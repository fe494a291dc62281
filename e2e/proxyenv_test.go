package e2e

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"nexd/internal/eventually"
	"nexd/netcheck"
)

// TestProxyIsNotItsOwnClient sets the proxy variables of a whole host to its own node's proxy, as
// people do. The node, which reads them too, must reach its service and relay without itself; so
// must nexd's other commands, and the programs of a shell that ran `nexd env`.
func TestProxyIsNotItsOwnClient(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.svc.stop(syscall.SIGTERM)
	w.serveArgs = nil // with the relay
	w.serve()
	w.router("node1", "172.24.0.0/24")
	own := []string{"HTTPS_PROXY=http://localhost:1080", "https_proxy=http://localhost:1080", "all_proxy=socks5h://localhost:1080", "NO_PROXY=", "no_proxy="}
	laptop := w.joinWith(own, "laptop")
	laptop.mustFetch("http://172.24.0.10/")
	healthy := func(when string) {
		t.Helper()
		eventually.True(t, "service and relay connected "+when, func() bool {
			s := laptop.status()
			return s.Service.Connected && s.Relay != nil && s.Relay.Connected
		})
		if s := laptop.log(); strings.Count(s, "the environment's HTTPS proxy is this node itself") != 1 {
			t.Errorf("%s, the log does not say once that the proxy is passed by:\n%s", when, s)
		}
	}
	healthy("after the join")
	laptop.stop(syscall.SIGTERM)
	laptop.launch()
	healthy("after a restart")

	run := func(args ...string) *proc {
		p := w.start("laptop", strings.Join(args, " "), append(own, "XDG_CACHE_HOME=/nowhere", "NEXD_ADMIN_TOKEN=nxt_"+strings.Repeat("A", 43)), args...)
		return p
	}
	r, code := run(bin("nexd"), "netcheck", "--json", "--state-dir="+laptop.state).report()
	if code != 0 || !r.Service.Reachable || r.Service.Proxy != "" || r.Relay.State != netcheck.RelayConnected {
		t.Errorf("netcheck: exit code %d, service %+v, relay %+v", code, r.Service, r.Relay)
	}
	admin := run(bin("nexd"), "admin", "user", "--service-url="+w.url, "--state-dir="+laptop.state)
	if code := admin.exit(20 * time.Second); code != 1 || !strings.Contains(admin.log(), "token") {
		t.Errorf("admin with a wrong token: exit code %d\n%s", code, admin.log())
	}

	shell := w.must("laptop", 20*time.Second, "sh", "-c", `export no_proxy=build.example NO_PROXY=; eval "$("$0" env --state-dir="$1")"
		env | grep -i no_proxy
		curl -skS --max-time 10 -o /dev/null -w "service %{http_code}\n" "$2/v1/health"
		curl -sS --max-time 10 -o /dev/null -w "mesh %{http_code}\n" http://172.24.0.10/`, bin("nexd"), laptop.state, "https://"+w.addr)
	host, _, _ := strings.Cut(w.addr, ":")
	for _, want := range []string{"service 200\n", "mesh 200\n", "no_proxy=localhost,127.0.0.1,::1," + host + ",build.example\n", "NO_PROXY=localhost"} {
		if !strings.Contains(shell, want) {
			t.Errorf("no %q in a shell with nexd env:\n%s", want, shell)
		}
	}
}
