package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"nexd/internal/eventually"
)

// ownEngine is a separate Docker Engine in a namespace; it does not touch the machine's.
type ownEngine struct {
	l      *lab
	ns     string
	dir    string
	daemon *proc
}

func (l *lab) engine(ns string) *ownEngine {
	l.t.Helper()
	dir, err := os.MkdirTemp("", "nexdd") // a socket's path is short
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { os.RemoveAll(dir) })
	e := &ownEngine{l: l, ns: ns, dir: dir}
	e.start()
	return e
}

// start runs the daemon in the namespace's network, with private mounts that disappear with
// it.
func (e *ownEngine) start() {
	e.l.t.Helper()
	e.daemon = e.l.launch(e.l.prepareAs("", "dockerd", nil, []string{"nsenter", "--net=/run/netns/" + e.l.prefix + e.ns, "unshare", "--mount", "dockerd",
		"--data-root=" + e.dir + "/data", "--exec-root=" + e.dir + "/exec", "--pidfile=" + e.dir + "/pid", "--host=unix://" + e.dir + "/sock",
		"--storage-driver=vfs", "--userland-proxy=false", "--bip=172.17.0.1/24", "--containerd-namespace=nexde2e", "--containerd-plugins-namespace=nexde2eplugins"}))
	eventually.Within(e.l.t, time.Minute, "the Docker Engine answers", func() bool { return exec.Command("docker", "-H", "unix://"+e.dir+"/sock", "info").Run() == nil })
}

func (e *ownEngine) docker(args ...string) string {
	e.l.t.Helper()
	return e.l.sh(append([]string{"docker", "-H", "unix://" + e.dir + "/sock"}, args...)...)
}

// try runs a program of busybox in a container.
func (e *ownEngine) try(container string, args ...string) (string, bool) {
	out, err := exec.Command("docker", append([]string{"-H", "unix://" + e.dir + "/sock", "exec", container, "/bin/busybox"}, args...)...).CombinedOutput()
	return string(out), err == nil
}

// TestTunDocker connects containers of a real Docker Engine and of another host by their own
// addresses, without any firewall configuration, also after a restart of Docker during the
// router's run.
func TestTunDocker(t *testing.T) {
	t.Parallel() // Docker starts, stops and starts again
	if inUserNamespace() {
		missing(t, "a Docker Engine needs root; run make e2e as root")
	}
	w := &world{lab: newLab(t, "curl", "ping", "docker", "dockerd", "iptables", "busybox", "nsenter", "unshare")}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"svc", "node1", "node2"} {
		w.host(name, fmt.Sprintf("192.0.2.%d/24", 1+10*i))
	}
	w.bridge("node2", "cbr0", "172.28.0.1/24")
	w.bridged("c2", "node2", "cbr0", []string{"172.28.0.10/24"}, []string{"172.28.0.1"})
	w.serveContainer("c2")
	w.bootstrapAt("192.0.2.1:8443")
	w.serve()
	for _, host := range []string{"node1", "node2"} { // a host that does not forward by itself; then Docker drops what is not its own
		w.in(host, "sh", "-c", "echo 0 > /proc/sys/net/ipv4/ip_forward")
	}
	node1 := w.routerTUN("node1", "172.24.0.0/24", "10.201.0.0/24=172.17.0.0/24") // before Docker
	w.routerTUN("node2", "172.28.0.0/24")

	e := w.engine("node1")
	image := filepath.Join(e.dir, "image")
	w.sh("sh", "-ec", fmt.Sprintf("mkdir -p %[1]s/bin %[1]s/www; cp %[2]s %[1]s/bin/busybox; echo %[3]s > %[1]s/www/index.html; tar -C %[1]s -c . | docker -H unix://%[4]s/sock import - web:test", image, busybox, marker, e.dir))
	e.docker("network", "create", "--subnet=172.24.0.0/24", "net1")
	e.docker("run", "-d", "--name=web", "--restart=always", "--stop-signal=KILL", "--network=net1", "--ip=172.24.0.10", "web:test", "/bin/busybox", "httpd", "-f", "-p", "80", "-h", "/www")
	e.docker("run", "-d", "--name=plain", "--restart=always", "--stop-signal=KILL", "web:test", "/bin/busybox", "httpd", "-f", "-p", "80", "-h", "/www") // Docker's default network: 172.17.0.2
	t.Cleanup(func() { exec.Command("docker", "-H", "unix://"+e.dir+"/sock", "rm", "-f", "web", "plain").Run() })

	reach := func(ns, addr string) bool {
		_, code := w.tryAs(ns, 5*time.Second, []string{"ping", "-n", "-c", "1", "-W", "1", addr})
		return code == 0
	}
	works := func(when string) {
		t.Helper()
		start := time.Now()
		eventually.Within(t, 10*time.Second, "containers answer "+when, func() bool { return reach("c2", "172.24.0.10") && reach("c2", "10.201.0.2") })
		t.Logf("%s: containers answer after %v", when, time.Since(start).Round(time.Millisecond))
		w.fetch("c2", "http://172.24.0.10/")
		w.fetch("c2", "http://10.201.0.2/")
		for container, source := range map[string]string{"web": "172.24.0.10", "plain": "10.201.0.2"} {
			if out, ok := e.try(container, "ping", "-c", "2", "-W", "3", "172.28.0.10"); !ok {
				t.Errorf("%s: ping from %s:\n%s", when, container, out)
			}
			if out, ok := e.try(container, "wget", "-q", "-Y", "off", "-O", "-", "http://172.28.0.10/"); !ok || !strings.Contains(out, "c2 from "+source+":") {
				t.Errorf("%s: %s is seen as %q (%v), want %s", when, container, out, ok, source)
			}
		}
	}
	works("after Docker's first start")
	if rules := w.in("node1", "iptables", "-w", "-S", "FORWARD"); !strings.Contains(rules, "-P FORWARD DROP") {
		t.Errorf("this Docker drops nothing, so the test shows little:\n%s", rules)
		t.Log(w.in("node1", "iptables-save"))
	}
	if reach("c2", "172.17.0.2") {
		t.Error("a mapped container answers by its local address")
	}
	w.in("node1", "iptables", "-w", "-I", "DOCKER-USER", "-i", "wg0", "-d", "172.24.0.0/24", "-j", "ACCEPT") // the walkthrough's line
	works("with the walkthrough's line")
	w.in("node1", "iptables", "-w", "-D", "DOCKER-USER", "-i", "wg0", "-d", "172.24.0.0/24", "-j", "ACCEPT")

	e.daemon.stop(syscall.SIGTERM)
	w.in("node1", "sh", "-c", "iptables -w -F DOCKER-USER; iptables -w -F FORWARD") // as a reload of the firewall does
	e.start()
	works("after Docker's restart")

	node1.stop(syscall.SIGTERM)
	if left := w.in("node1", "sh", "-c", "iptables-save; ip6tables-save; nft list ruleset"); strings.Contains(left, "nexd") || strings.Contains(left, "wg0") {
		t.Errorf("left of the router:\n%s", left)
	}
	if v := w.in("node1", "cat", "/proc/sys/net/ipv4/ip_forward"); v != "1\n" {
		t.Errorf("Docker's own switch is %q", v)
	}
}
