package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nexd/internal/eventually"
)

// docker runs a docker command.
func (l *lab) docker(args ...string) string {
	l.t.Helper()
	return strings.TrimSpace(l.sh(append([]string{"docker"}, args...)...))
}

// importImage creates an image from one static program, without a registry.
func (l *lab) importImage(tag string, files map[string]string) {
	l.t.Helper()
	root := filepath.Join(l.dir, "image-"+strings.ReplaceAll(tag, ":", "-"))
	for to, from := range files {
		dst := filepath.Join(root, to)
		if err := os.MkdirAll(filepath.Dir(dst), 0o755); err != nil {
			l.t.Fatal(err)
		}
		b, err := os.ReadFile(from)
		if err != nil {
			l.t.Fatal(err)
		}
		if err := os.WriteFile(dst, b, 0o755); err != nil {
			l.t.Fatal(err)
		}
	}
	os.MkdirAll(filepath.Join(root, "tmp"), 0o1777)
	l.sh("sh", "-c", fmt.Sprintf("tar -C %s -c . | docker import - %s", root, tag))
	l.t.Cleanup(func() { exec.Command("docker", "rmi", "-f", tag).Run() })
}

// TestDockerEngine reaches containers of a real Docker Engine: two unprivileged
// routers on the Docker host, a third node in a namespace with no route to either
// network, and a fourth in a container without capabilities.
func TestDockerEngine(t *testing.T) {
	l := newLab(t, "curl", "docker", "busybox")
	busybox := l.needDocker()
	w := &world{lab: l}
	tag := l.prefix
	l.importImage(tag+"web:e2e", map[string]string{"bin/busybox": busybox, "bin/sh": busybox})
	l.importImage(tag+"nexd:e2e", map[string]string{"bin/nexd": bin("nexd"), "bin/busybox": busybox})
	for i, subnet := range []string{"172.24.0.0/24", "172.28.0.0/24"} {
		name := fmt.Sprintf("%snet%d", tag, i+1)
		l.dockerWeb(fmt.Sprintf("%sweb%d", tag, i+1), name, subnet, strings.Replace(subnet, "0/24", "10", 1), tag+"web:e2e", name)
	}

	l.joinMachine("nx", "203.0.113.1/24")
	l.host("laptop", "203.0.113.21/24")
	w.host("svc", "203.0.113.2/24")
	w.bootstrapAt("203.0.113.2:8443")
	w.serve()

	node1 := w.joinOnHost("node1", "router", "--proxy-listen=off", "--advertise-cidr=172.24.0.0/24")
	node2 := w.joinOnHost("node2", "router", "--proxy-listen=off", "--advertise-cidr=172.28.0.0/24")
	noCapabilities(t, node1)
	noCapabilities(t, node2)
	laptop := w.join("laptop")
	for _, url := range []string{"http://172.24.0.10/", "http://172.28.0.10/"} {
		if out, code := laptop.curl(3*time.Second, url); code == 0 {
			t.Fatalf("%s is reached without the mesh: %s", url, out)
		}
		laptop.mustFetch(url)
	}
	if out, code := laptop.cli(15*time.Second, "ping", "-c1", "172.24.0.10"); code != 0 {
		t.Errorf("ping of a container: exit %d\n%s", code, out)
	}

	t.Run("a node in a container", func(t *testing.T) {
		key, err := os.ReadFile(w.key)
		if err != nil {
			t.Fatal(err)
		}
		name := tag + "node"
		// its network has no route to the containers' networks, only to the service
		l.docker("run", "-d", "--name", name, "--user", "65534", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--read-only",
			"--tmpfs", "/state:mode=0777", "-e", "NEXD_REG_KEY="+strings.TrimSpace(string(key)), tag+"nexd:e2e",
			"/bin/nexd", "--userspace", "--state-dir=/state/nexd", "--hostname=incontainer", w.url)
		defer exec.Command("docker", "rm", "-f", name).Run()
		eventually.Within(t, 20*time.Second, "the node in the container is ready", func() bool {
			out, _ := exec.Command("docker", "logs", name).CombinedOutput()
			return strings.Contains(string(out), "ready incontainer ")
		})
		out, err := exec.Command("docker", "exec", "-e", "http_proxy=http://127.0.0.1:1080", name, "/bin/busybox", "wget", "-q", "-O", "-", "http://172.28.0.10/").CombinedOutput()
		if err != nil || !strings.Contains(string(out), marker) {
			logs, _ := exec.Command("docker", "logs", name).CombinedOutput()
			t.Errorf("fetch from the container: %v %s\n%s", err, out, logs)
		}
	})

	t.Run("a stopped router takes only its own prefix", func(t *testing.T) {
		node2.stop(15)
		if out, code := laptop.curl(4*time.Second, "-x", laptop.socks5h(), "http://172.28.0.10/"); code == 0 {
			t.Errorf("still answered: %s", out)
		}
		laptop.mustFetch("http://172.24.0.10/")
	})
}

// needDocker skips the test without a local Docker Engine, and finds busybox for its
// images.
func (l *lab) needDocker() (busybox string) {
	l.t.Helper()
	if inUserNamespace() {
		missing(l.t, "Docker's networks are the host's; run make e2e as root")
	}
	if out, err := exec.Command("docker", "info").CombinedOutput(); err != nil {
		missing(l.t, "no Docker Engine answers: "+strings.TrimSpace(string(out)))
	}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		l.t.Fatal(err)
	}
	return busybox
}

// dockerWeb runs a web server on a new Docker network. Its page contains the marker and
// text.
func (l *lab) dockerWeb(name, network, subnet, ip, image, text string) {
	l.t.Helper()
	l.docker("network", "create", "--driver=bridge", "--subnet="+subnet, network)
	l.t.Cleanup(func() { exec.Command("docker", "network", "rm", network).Run() })
	script := fmt.Sprintf("/bin/busybox mkdir -p /tmp/www && echo '%s %s' > /tmp/www/index.html && exec /bin/busybox httpd -f -p 80 -h /tmp/www", marker, text)
	l.docker("run", "-d", "--name", name, "--network", network, "--ip", ip, image, "/bin/busybox", "sh", "-c", script)
	l.t.Cleanup(func() { exec.Command("docker", "rm", "-f", name).Run() })
}

// joinMachine connects this machine's own namespace, in which Docker runs, to the wan
// through a veth whose name begins with prefix.
func (l *lab) joinMachine(prefix, addr string) {
	l.t.Helper()
	dev := prefix + l.prefix[:min(len(l.prefix)-1, 10)]
	l.sh("ip", "link", "add", dev, "type", "veth", "peer", "name", "hostside", "netns", l.prefix+"wan")
	l.t.Cleanup(func() { exec.Command("ip", "link", "del", dev).Run() })
	l.in("wan", "ip", "link", "set", "hostside", "master", "br0", "up")
	l.sh("ip", "addr", "add", addr, "dev", dev)
	l.sh("ip", "link", "set", dev, "up")
}

// joinOnHost runs a node in this machine's own namespace, still as nobody.
func (w *world) joinOnHost(name string, args ...string) *node {
	w.t.Helper()
	n := &node{w: w, ns: "", state: w.ownDir("state-" + name)}
	n.args = append(append([]string{bin("nexd")}, args...), "--userspace", "--hostname="+name, "--reg-key-file="+w.key, "--state-dir="+n.state, w.url)
	n.launch()
	return n
}
