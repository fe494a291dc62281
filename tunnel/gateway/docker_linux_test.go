package gateway

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"nexd/internal/eventually"
)

// The kernel's two packet filters, each with what Docker makes there.
func TestDockersChain(t *testing.T) {
	for _, filter := range []string{"iptables-nft", "iptables-legacy"} {
		t.Run(filter, func(t *testing.T) {
			isolated(t, filter)
			l := newLab(t)
			docker0(t)
			ipt := func(args string) string { return run(t, filter+" -w "+args) + run(t, "ip6"+filter[2:]+" -w "+args) }
			if out, err := exec.Command(filter, "-w", "-P", "FORWARD", "DROP").CombinedOutput(); err != nil {
				t.Skipf("%s does not work in this kernel: %s", filter, out)
			}
			ipt("-P FORWARD DROP")
			t.Cleanup(func() { ipt("-P FORWARD ACCEPT"); ipt("-F"); ipt("-X") })
			save := func() string {
				return counters.ReplaceAllString(run(t, filter+"-save")+run(t, "ip6"+filter[2:]+"-save"), "")
			}
			g := l.gateway(t, Auto, "172.24.0.0/24", "fd24::/64")
			running(t, g)
			if l.peer.pings("172.24.0.10") {
				t.Fatal("answers although FORWARD drops: the test shows nothing")
			}
			reached := func() bool { return l.peer.pings("172.24.0.10") && l.peer.pings("fd24::10") }
			back := func(what string) { t.Helper(); eventually.Within(t, 10*time.Second, what, reached) }

			ipt("-N DOCKER-USER")
			ipt("-A DOCKER-USER -j RETURN")
			without := regexp.MustCompile(`(?m)^.*nexd wg0.*\n`) // the gateway may have been quicker
			before := without.ReplaceAllString(save(), "")
			ipt("-I FORWARD -j DOCKER-USER")
			back("the chain is filled when Docker makes it")
			ipt("-F DOCKER-USER")
			ipt("-A DOCKER-USER -j RETURN")
			back("the chain is filled again")
			if out := save(); strings.Count(out, `"nexd wg0: `) != 4 || !strings.Contains(out, "-i wg0") {
				t.Errorf("the rules as iptables sees them:\n%s", out)
			}
			ipt("-I DOCKER-USER -i wg0 -j DROP")
			if l.peer.pings("172.24.0.10") {
				t.Error("a drop by the host's owner does not come first")
			}
			ipt("-D DOCKER-USER -i wg0 -j DROP")
			run(t, filter+" -w -I DOCKER-USER -i wg0 -d 172.24.0.0/24 -j ACCEPT") // the walkthrough's line
			if !reached() {
				t.Error("the walkthrough's own line disturbs")
			}
			run(t, filter+" -w -D DOCKER-USER -i wg0 -d 172.24.0.0/24 -j ACCEPT")
			if err := g.Set(advertised(t, "fd24::/64"), pools); err != nil {
				t.Fatal(err)
			}
			if out := save(); strings.Count(out, `"nexd wg0: `) != 2 {
				t.Errorf("a prefix's rules stay after it:\n%s", out)
			}
			if err := g.Close(); err != nil {
				t.Fatal(err)
			}
			ipt("-D FORWARD -j DOCKER-USER")
			same(t, "after Close", before, save())
		})
	}
}

// Docker 28 drops, in the raw table, what is sent to a container from outside of
// its bridge. Mesh traffic passes; that of others is still dropped.
func TestDocker28DropsInTheRawTable(t *testing.T) {
	for _, filter := range []string{"iptables-nft", "iptables-legacy"} {
		t.Run(filter, func(t *testing.T) {
			isolated(t, filter)
			l := newLab(t)
			docker0(t)
			neighbour := newNode(t)
			neighbour.join("eth6")
			run(t, "ip addr add 192.168.66.1/24 dev eth6; echo 1 > /proc/sys/net/ipv4/conf/eth6/forwarding")
			neighbour.run("ip addr add 192.168.66.9/24 dev eth0; ip route add default via 192.168.66.1")
			if out, err := exec.Command(filter, "-w", "-t", "raw", "-L").CombinedOutput(); err != nil {
				t.Skipf("%s does not work in this kernel: %s", filter, out)
			}
			t.Cleanup(func() { run(t, filter+" -t raw -F; ip6"+filter[2:]+" -t raw -F") })
			g := l.gateway(t, Auto, "172.24.0.0/24", "fd24::/64")
			running(t, g)
			if !neighbour.pings("172.24.0.10") {
				t.Fatal("the neighbour gets no answer: the test shows nothing")
			}
			run(t, filter+" -t raw -A PREROUTING -d 172.24.0.10 ! -i br-a -j DROP; ip6"+filter[2:]+" -t raw -A PREROUTING -d fd24::10 ! -i br-a -j DROP")
			eventually.Within(t, 10*time.Second, "mesh traffic passes", func() bool { return l.peer.pings("172.24.0.10") && l.peer.pings("fd24::10") })
			if neighbour.pings("172.24.0.10") {
				t.Error("the neighbour's traffic passes, too")
			}
			run(t, filter+" -t raw -D PREROUTING -d 172.24.0.10 ! -i br-a -j DROP; ip6"+filter[2:]+" -t raw -D PREROUTING -d fd24::10 ! -i br-a -j DROP")
			eventually.Within(t, 10*time.Second, "rules that are not needed go", func() bool {
				return !strings.Contains(run(t, filter+" -t raw -S PREROUTING; ip6"+filter[2:]+" -t raw -S PREROUTING"), "nexd")
			})
		})
	}
}

// The tables that Docker 29 makes with its nftables backend, as `nft list ruleset`
// shows them there: nobody else's chain lets mesh traffic pass.
func TestDockersOwnTables(t *testing.T) {
	isolated(t)
	l := newLab(t)
	docker0(t)
	tables := func() {
		t.Helper()
		for _, f := range []struct{ family, subnet, container string }{{"ip", "172.24.0.0/24", "172.24.0.10"}, {"ip6", "fd24::/64", "fd24::10"}} {
			run(t, "nft -f - <<'END'\n"+strings.NewReplacer("FAMILY", f.family, "SUBNET", f.subnet, "CONTAINER", f.container).Replace(`
table FAMILY docker-bridges
flush table FAMILY docker-bridges
table FAMILY docker-bridges {
	map filter-forward-in-jumps { type ifname : verdict; }
	map filter-forward-out-jumps { type ifname : verdict; }
	chain filter-forward-in__br-a {
		ct state established,related counter accept
		iifname "br-a" counter accept
		counter drop
	}
	chain filter-forward-out__br-a {
		ct state established,related counter accept
		counter accept
	}
	chain filter-FORWARD {
		type filter hook forward priority filter; policy drop;
		oifname vmap @filter-forward-in-jumps
		iifname vmap @filter-forward-out-jumps
	}
	chain raw-PREROUTING {
		type filter hook prerouting priority raw; policy accept;
		FAMILY daddr CONTAINER iifname != "br-a" counter drop
		FAMILY daddr SUBNET iifname != { "br-a", "lo" } counter drop
	}
}
add element FAMILY docker-bridges filter-forward-in-jumps { "br-a" : jump filter-forward-in__br-a }
add element FAMILY docker-bridges filter-forward-out-jumps { "br-a" : jump filter-forward-out__br-a }
`)+"END\n")
		}
	}
	reached := func() bool { return l.peer.pings("172.24.0.10") && l.peer.pings("fd24::10") }
	ours := func() string { return run(t, "nft list table ip docker-bridges; nft list table ip6 docker-bridges") }
	tables()
	g := l.gateway(t, Auto, "172.24.0.0/24", "fd24::/64")
	if !reached() {
		t.Fatalf("no answer:\n%s", ours())
	}
	running(t, g)
	tables() // Docker starts again
	eventually.Within(t, 10*time.Second, "the tables are filled again", reached)
	text := ours()
	if n := strings.Count(text, `"nexd wg0: `); n != 6 { // in two families: raw, to and from
		t.Errorf("%d rules of ours, want 6:\n%s", n, text)
	}
	if err := g.reconcile(); err != nil || counters.ReplaceAllString(ours(), "") != counters.ReplaceAllString(text, "") {
		t.Errorf("a second look changes something (%v):\n%s", err, ours())
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	if text := ours(); strings.Contains(text, "nexd") {
		t.Errorf("left after Close:\n%s", text)
	}
}

// engine is a Docker Engine of the test's own, in the router's namespace.
type engine struct {
	t   *testing.T
	dir string
	cmd *exec.Cmd
}

func (e *engine) start() {
	e.t.Helper()
	log, err := os.OpenFile(filepath.Join(e.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		e.t.Fatal(err)
	}
	defer log.Close()
	e.cmd = exec.Command("dockerd", "--data-root="+e.dir+"/data", "--exec-root="+e.dir+"/exec", "--pidfile="+e.dir+"/pid", "--host=unix://"+e.dir+"/sock",
		"--storage-driver=vfs", "--userland-proxy=false", "--bip=172.31.250.1/24", "--containerd-namespace=nexdtest", "--containerd-plugins-namespace=nexdtestplugins")
	e.cmd.Stdout, e.cmd.Stderr = log, log
	e.cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS} // its mounts go with it
	if err := e.cmd.Start(); err != nil {
		e.t.Fatal(err)
	}
	eventually.Within(e.t, time.Minute, "the Docker Engine answers", func() bool { return exec.Command("docker", "-H", "unix://"+e.dir+"/sock", "info").Run() == nil })
}

func (e *engine) stop() {
	e.cmd.Process.Signal(syscall.SIGTERM)
	e.cmd.Wait()
}

func (e *engine) docker(args string) string {
	e.t.Helper()
	return run(e.t, "docker -H unix://"+e.dir+"/sock "+args)
}

// Docker is restarted under a running gateway: traffic is back within 10 s by
// itself, with Docker's rules in force.
func TestDockerEngineRestarts(t *testing.T) {
	isolated(t, "dockerd", "docker", "iptables", "tar")
	if ids, err := os.ReadFile("/proc/self/uid_map"); err != nil || !strings.Contains(string(ids), "4294967295") { // not root of a user namespace
		t.Skip("dockerd needs root")
	}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Skip("busybox is not installed")
	}
	l := newLab(t)
	dir, err := os.MkdirTemp("", "nexdd") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	e := &engine{t: t, dir: dir}
	g := l.gateway(t, Auto, "172.31.24.0/24")
	running(t, g)
	defer func() {
		if t.Failed() {
			b, _ := os.ReadFile(e.dir + "/log")
			t.Logf("%s", b[max(0, len(b)-4000):])
		}
	}()
	e.start()
	defer func() { e.stop() }()
	run(t, fmt.Sprintf("mkdir -p %[1]s/image/bin; cp %[2]s %[1]s/image/bin/busybox; tar -C %[1]s/image -c . | docker -H unix://%[1]s/sock import - web:test", dir, busybox))
	e.docker("network create --subnet=172.31.24.0/24 meshed")
	e.docker("run -d --name=web --restart=always --network=meshed --ip=172.31.24.10 web:test /bin/busybox sleep 100000")
	defer func() { e.docker("rm -f web") }()
	eventually.Within(t, 10*time.Second, "the container answers", func() bool { return l.peer.pings("172.31.24.10") })
	if s := g.Status()[0]; s.SNAT {
		t.Errorf("status %+v", s)
	}
	read := l.peer.sniff(t)
	e.docker("exec web /bin/busybox ping -c1 -W2 100.64.0.3")
	seen := false
	for p := read(); p != nil; p = read() {
		seen = seen || len(p) > 20 && p[9] == 1 && string(p[12:16]) == "\xac\x1f\x18\x0a"
	}
	if !seen {
		t.Error("the container's own address is not what the peer sees")
	}
	if !strings.Contains(run(t, "iptables -w -S FORWARD"), "-P FORWARD DROP") {
		t.Log("this Docker leaves FORWARD's policy alone")
	}
	if l.peer.pings("172.31.250.1") {
		t.Error("Docker's default network, which is not advertised, answers")
	}

	e.stop()
	run(t, "iptables -w -F DOCKER-USER; iptables -w -F FORWARD") // as a reload of firewalld does
	e.start()
	eventually.Within(t, 10*time.Second, "the container answers after the restart", func() bool { return l.peer.pings("172.31.24.10") })
	if n := strings.Count(run(t, "iptables -w -S DOCKER-USER"), "nexd wg0"); n != 2 {
		t.Errorf("%d rules in Docker's chain, want 2", n)
	}
	run(t, "iptables -w -F DOCKER-USER")
	eventually.Within(t, 10*time.Second, "the container answers after a flush", func() bool { return l.peer.pings("172.31.24.10") })
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	if out := run(t, "iptables-save; ip6tables-save; nft list ruleset"); strings.Contains(out, "nexd") {
		t.Errorf("left after Close:\n%s", out)
	}
}
