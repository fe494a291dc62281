package e2e

import (
	"os/exec"
	"strings"
	"testing"
)

// TestDockerEngineTUN: a router in TUN mode on a real Docker host and another in a
// namespace. Containers of both reach each other with their own addresses, and no
// firewall rule is added by hand.
func TestDockerEngineTUN(t *testing.T) {
	l := newLab(t, "curl", "docker", "busybox", "ping", "nft")
	busybox := l.needDocker()
	w := &world{lab: l}
	tag := l.prefix
	l.importImage(tag+"tunweb:e2e", map[string]string{"bin/busybox": busybox, "bin/sh": busybox})
	network, web := tag+"tunnet", tag+"tunweb"
	l.dockerWeb(web, network, "172.25.77.0/24", "172.25.77.10", tag+"tunweb:e2e", "docker")
	l.joinMachine("nt", "203.0.113.129/25")
	w.host("svc", "203.0.113.130/25")
	w.host("node2", "203.0.113.131/25")
	w.bridge("node2", "cbr0", "172.25.78.1/24")
	w.bridged("c2", "node2", "cbr0", []string{"172.25.78.10/24"}, []string{"172.25.78.1"})
	w.serveContainer("c2")
	w.bootstrapAt("203.0.113.130:8443")
	w.serve()

	w.routerTUN("node2", "172.25.78.0/24")
	node1 := &node{w: w, ns: "", root: true, state: w.dir + "/tun-docker"}
	node1.args = []string{bin("nexd"), "router", "--tun", "--interface=nx" + tag[:min(len(tag)-1, 10)], "--proxy-listen=off", "--advertise-cidr=172.25.77.0/24",
		"--hostname=docker", "--reg-key-file=" + w.key, "--state-dir=" + node1.state, w.url}
	node1.launch()

	w.mustPing("c2", "172.25.77.10")
	w.fetch("c2", "http://172.25.77.10/")
	const get = `printf 'GET / HTTP/1.0\r\n\r\n' | /bin/busybox nc -w 5 172.25.78.10 80` // busybox-static's wget crashes without a proxy
	out, err := exec.Command("docker", "exec", web, "/bin/busybox", "sh", "-c", get).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "c2 from 172.25.77.10:") {
		t.Errorf("the Docker container fetches from the other host: %v\n%s", err, out)
	}
	node1.stop(15)
	if rules := l.sh("sh", "-c", "iptables-save; ip6tables-save"); strings.Contains(rules, "nexd nx"+tag[:min(len(tag)-1, 10)]) {
		t.Errorf("rules are left in Docker's chain:\n%s", rules)
	}
}
