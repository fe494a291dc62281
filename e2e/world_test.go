package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"nexd/agent/localapi"
)

// world is a lab with a service, two router hosts with a container each, and a laptop
// without a route to any container.
type world struct {
	*lab
	url string // of the service, with its pin
	key string // file of a registration key
	svc *proc

	addr      string   // of the service: host:port
	serveArgs []string // of nexservice serve
}

// with returns the same world for a subtest.
func (w *world) with(t *testing.T) *world {
	l, c := *w.lab, *w
	l.t, c.lab = t, &l
	return &c
}

func newWorld(t *testing.T, tools ...string) *world {
	t.Helper()
	return newWorldAt(t, "192.0.2.1:8443", func(n int) []string {
		return []string{fmt.Sprintf("192.0.2.%d/24", n), fmt.Sprintf("2001:db8::%d/64", n)}
	}, tools...)
}

// newWorldAt is newWorld with other addresses on the wan; n is the number of the first host.
func newWorldAt(t *testing.T, service string, addrs func(n int) []string, tools ...string) *world {
	t.Helper()
	w := &world{lab: newLab(t, append([]string{"curl"}, tools...)...), serveArgs: []string{"--relay=off"}} // a broken path shall show
	w.host("svc", addrs(1)...)
	w.host("node1", addrs(11)...)
	w.host("node2", addrs(12)...)
	w.host("laptop", addrs(21)...)
	w.container("c1", "node1", "172.24.0.1/24", "172.24.0.10/24", "fd00:24::1/64", "fd00:24::10/64")
	w.container("c2", "node2", "172.28.0.1/24", "172.28.0.10/24", "fd00:28::1/64", "fd00:28::10/64")
	w.serveContainer("c1")
	w.serveContainer("c2")
	w.bootstrapAt(service)
	w.serve()
	return w
}

// serveContainer runs the helper in a container, as root, like containers do.
func (w *world) serveContainer(name string) *proc {
	w.t.Helper()
	p := w.start(name, name, []string{"NEXD_E2E_HELPER=1"}, bin("helper"), name)
	p.line("serves", 30*time.Second)
	return p
}

func (w *world) db() string { return filepath.Join(w.ownDir("svc"), "nexd.db") }

// bootstrapAt sets up the database of a service at addr.
func (w *world) bootstrapAt(addr string) {
	w.t.Helper()
	w.addr = addr
	pass := filepath.Join(w.ownDir("svc"), "password")
	if err := os.WriteFile(pass, []byte("correct horse battery staple\n"), 0o644); err != nil {
		w.t.Fatal(err)
	}
	w.key = filepath.Join(w.ownDir("svc"), "reg.key")
	w.must("svc", 20*time.Second, bin("nexservice"), "bootstrap", "--db="+w.db(), "--user=ada@example.org",
		"--password-file="+pass, "--reg-key-out="+w.key, "--public-url=https://"+w.addr)
}

// serve starts the service and learns its URL from its ready line.
func (w *world) serve() {
	w.t.Helper()
	_, port, _ := net.SplitHostPort(w.addr)
	args := append([]string{bin("nexservice"), "serve", "--db=" + w.db(), "--listen=[::]:" + port, "--public-url=https://" + w.addr}, w.serveArgs...)
	w.svc = w.start("svc", "nexservice", nil, args...)
	line := w.svc.line("ready ", 20*time.Second)
	w.url = regexp.MustCompile(`https://\S+`).FindString(line)
	if !strings.Contains(w.url, "#pin=") {
		w.t.Fatalf("the service's ready line %q shows no URL with a pin", line)
	}
}

// node is a running nexd.
type node struct {
	*proc
	w     *world
	ns    string
	state string
	args  []string
	env   []string
	root  bool   // runs with privileges
	name4 string // IPv4 mesh address
	name6 string
	proxy string
}

// join starts nexd in a namespace with the registration key and waits until it is ready.
// args precede the service URL.
func (w *world) join(ns string, args ...string) *node {
	w.t.Helper()
	return w.joinWith(nil, ns, args...)
}

// joinWith is join with additional environment variables.
func (w *world) joinWith(env []string, ns string, args ...string) *node {
	w.t.Helper()
	n := &node{w: w, ns: ns, state: w.ownDir("state-" + ns), env: env}
	n.args = append(append([]string{bin("nexd")}, args...), "--userspace", "--hostname="+ns, "--reg-key-file="+w.key, "--state-dir="+n.state, w.url)
	n.launch()
	return n
}

func (w *world) router(ns string, cidrs ...string) *node {
	w.t.Helper()
	args := []string{"router", "--proxy-listen=off"}
	for _, c := range cidrs {
		args = append(args, "--advertise-cidr="+c)
	}
	return w.join(ns, args...)
}

// launch starts or restarts the node.
func (n *node) launch() {
	n.w.t.Helper()
	if n.root {
		n.proc = n.w.lab.launch(n.w.prepareAs(n.ns, "nexd "+n.ns, n.env, n.args))
	} else {
		n.proc = n.w.start(n.ns, "nexd "+n.ns, n.env, n.args...)
	}
	n.isReady(n.line("ready ", 30*time.Second))
}

// isReady reads the ready line.
func (n *node) isReady(line string) {
	n.w.t.Helper()
	f := strings.Fields(line)
	if len(f) != 5 || !strings.HasPrefix(f[4], "proxy=") {
		n.w.t.Fatalf("ready line of %s is %q", n.ns, f)
	}
	n.name4, n.name6, n.proxy = f[2], f[3], strings.TrimPrefix(f[4], "proxy=")
}

// restart kills a node with SIGKILL and starts it again.
func (n *node) restart() {
	n.w.t.Helper()
	n.stop(syscall.SIGKILL)
	n.launch()
}

// cli runs a local command against the node.
func (n *node) cli(limit time.Duration, args ...string) (string, int) {
	n.w.t.Helper()
	full := append(append([]string{bin("nexd")}, args...), "--state-dir="+n.state)
	if n.root {
		return n.w.tryAs(n.ns, limit, full)
	}
	return n.w.try(n.ns, limit, full...)
}

func (n *node) status() localapi.Status {
	n.w.t.Helper()
	out, code := n.cli(10*time.Second, "status", "--json")
	var s localapi.Status
	if err := json.Unmarshal([]byte(out), &s); err != nil || code != 0 {
		n.w.t.Fatalf("status of %s: exit %d, %v\n%s", n.ns, code, err, out)
	}
	return s
}

// curl fetches through the node's proxy; the exit code is curl's.
func (n *node) curl(limit time.Duration, args ...string) (string, int) {
	n.w.t.Helper()
	base := []string{"curl", "-sS", "--max-time", fmt.Sprint(limit.Seconds())}
	return n.w.try(n.ns, limit+5*time.Second, append(base, args...)...)
}

func (n *node) socks5h() string { return "socks5h://" + n.proxy }

// mustFetch fetches the marker page of a container.
func (n *node) mustFetch(url string) {
	n.w.t.Helper()
	out, code := n.curl(15*time.Second, "-x", n.socks5h(), url)
	if code != 0 || !strings.Contains(out, marker) {
		n.w.t.Fatalf("fetch %s through %s: curl exit %d\n%s", url, n.ns, code, out)
	}
}
