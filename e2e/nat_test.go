package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"nexd/agent/localapi"
	"nexd/internal/eventually"
)

// nat is a kind of NAT in nftables: the rules of its postrouting and prerouting chains.
// Linux admits only addresses and ports that a node has sent to. natsites_test.go has the
// kinds of the matrix.
type nat struct{ name, post, pre, set string }

var (
	noNAT          = nat{name: "no NAT"}
	portRestricted = nat{name: "port-restricted NAT", post: "oifname eth0 masquerade"}
	symmetric      = nat{name: "symmetric NAT", post: "oifname eth0 masquerade fully-random"}
)

// newNATWorld creates a service with relay and STUN, two homes behind NATs, alice's and
// bob's, and a container behind bob.
func newNATWorld(t *testing.T, alice, bob nat) *world {
	t.Helper()
	w := &world{lab: newLab(t, "curl", "nft")}
	w.host("svc", "192.0.2.1/24")
	w.home("alice", 31, alice)
	w.home("bob", 32, bob)
	w.container("c1", "bob", "172.24.0.1/24", "172.24.0.10/24")
	w.serveContainer("c1")
	w.serveAll("192.0.2.1:8443")
	return w
}

// serveAll starts the service at HOST:PORT with relay and STUN.
func (w *world) serveAll(at string) {
	w.t.Helper()
	w.bootstrapAt(at)
	host, _, _ := net.SplitHostPort(at)
	w.serveArgs = []string{"--stun-listen=" + net.JoinHostPort(host, "3478"), "--stun-listen=" + net.JoinHostPort(host, "3479")}
	w.serve()
}

// home makes a host on the wan, or one behind a NAT on it.
func (w *world) home(name string, n int, kind nat) {
	w.t.Helper()
	at := fmt.Sprintf("192.0.2.%d/24", n)
	if kind.post == "" {
		w.host(name, at)
		return
	}
	box := "nat-" + name
	w.host(box, at)
	w.container(name, box, "10.1.0.1/24", "10.1.0.10/24")
	w.in(box, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
	// Like every home router, drop unsolicited packets. Otherwise Linux records them as
	// connections of the box itself and does not assign their port again.
	w.in(box, "nft", "add table ip own; add chain ip own in { type filter hook input priority 0; }; add rule ip own in iifname eth0 ct state new drop")
	w.in(box, "nft", "add table ip nat; add chain ip nat post { type nat hook postrouting priority 100; }; add rule ip nat post "+kind.post)
	if kind.set != "" {
		w.in(box, "nft", kind.set)
	}
	if kind.pre != "" {
		w.in(box, "nft", "add chain ip nat pre { type nat hook prerouting priority -100; }; add rule ip nat pre "+kind.pre)
	}
}

// cut drops matching packets on the wan until the returned func is called.
func (w *world) cut(match string) (heal func()) {
	w.t.Helper()
	w.in("wan", "nft", "add table bridge cut; add chain bridge cut f { type filter hook forward priority 0; }; add rule bridge cut f "+match+" drop")
	return func() {
		w.t.Helper()
		w.in("wan", "nft", "delete table bridge cut")
	}
}

// couple joins alice and bob, who is a router, and waits for their relay connections and
// for the results of STUN.
func (w *world) couple() (alice, bob *node) {
	w.t.Helper()
	bob = w.router("bob", "172.24.0.0/24")
	alice = w.join("alice", "--listen-port=41641")
	for _, n := range []*node{alice, bob} {
		eventually.Within(w.t, 10*time.Second, n.ns+" has a relay and STUN's answer", func() bool {
			s := n.status()
			return s.Relay != nil && s.Relay.Connected && s.Outside != nil
		})
	}
	return alice, bob
}

// pathTo returns a node's path to its only peer.
func (n *node) onlyPeer() localapi.Peer {
	n.w.t.Helper()
	s := n.status()
	if len(s.Peers) != 1 {
		n.w.t.Fatalf("%s has peers %+v", n.ns, s.Peers)
	}
	return s.Peers[0]
}

// untilPath waits for a kind of path while traffic flows.
func (n *node) untilPath(kind string, limit time.Duration) time.Duration {
	n.w.t.Helper()
	return eventually.Within(n.w.t, limit, fmt.Sprintf("the path of %s is %s", n.ns, kind), func() bool { return n.onlyPeer().Path == kind })
}

// transfer is a slow download.
type transfer struct {
	*proc
	file string
	size int64
}

// download fetches size bytes at rate bytes per second through the node's proxy.
func (n *node) download(size, rate int64) *transfer {
	n.w.t.Helper()
	d := &transfer{file: filepath.Join(n.w.ownDir("down"), "file"), size: size}
	d.proc = n.w.start(n.ns, "curl", nil, "curl", "-sS", "--max-time", "120", "--limit-rate", strconv.FormatInt(rate, 10), "-x", n.socks5h(),
		"-o", d.file, fmt.Sprintf("http://172.24.0.10/bytes?n=%d", size))
	eventually.Within(n.w.t, 10*time.Second, "the download begins", func() bool { return d.have() > 0 })
	return d
}

func (d *transfer) have() int64 {
	info, err := os.Stat(d.file)
	if err != nil {
		return 0
	}
	return info.Size()
}

// untilAnswered pings until it receives a reply. (A download shows less precisely when
// packets pass again, because its buffers hold seconds of data.)
func (n *node) untilAnswered(addr string, limit time.Duration) time.Duration {
	n.w.t.Helper()
	return eventually.Within(n.w.t, limit, addr+" answers "+n.ns, func() bool {
		_, code := n.cli(5*time.Second, "ping", "-c", "1", "-W", "500ms", addr)
		return code == 0
	})
}

// whole waits for the end and checks that every byte arrived.
func (d *transfer) whole(limit time.Duration) {
	d.t.Helper()
	if code := d.exit(limit); code != 0 || fileSum(d.t, d.file) != patternSum(d.size) {
		d.t.Errorf("curl exit %d, %d of %d bytes\n%s", code, d.have(), d.size, d.log())
	}
}

const (
	steady = 1 << 20 // bytes a second of a download that faults happen to
	long   = 40 * steady
)

func TestBlockedUDPGoesByTheRelayAndComesBack(t *testing.T) {
	w := newNATWorld(t, portRestricted, portRestricted)
	alice, bob := w.couple()
	d := alice.download(long, steady)
	alice.untilPath("direct", 30*time.Second)

	heal := w.cut("meta l4proto udp")
	took := alice.untilAnswered(bob.name4, 20*time.Second)
	t.Logf("UDP blocked: answers after %v", took)
	if took > 5*time.Second {
		t.Errorf("not within 5 s")
	}
	alice.untilPath("relay", 5*time.Second)
	eventually.Stays(t, 5*time.Second, "the path is relay", func() bool { return alice.onlyPeer().Path == "relay" })
	heal()
	t.Logf("UDP free again: direct after %v", alice.untilPath("direct", 30*time.Second))
	d.whole(2 * time.Minute)
}

func TestABlackHoledDirectPathIsLeft(t *testing.T) {
	t.Parallel() // mostly it waits
	w := newNATWorld(t, portRestricted, noNAT)
	alice, bob := w.couple()
	if out, code := alice.cli(40*time.Second, "ping", "--until-direct", bob.name4); code != 0 || !strings.Contains(out, "path=direct 192.0.2.32:") {
		t.Errorf("nexd ping --until-direct: exit code %d\n%s", code, out)
	}
	d := alice.download(long, steady)
	alice.untilPath("direct", 30*time.Second)

	heal := w.cut("ip saddr 192.0.2.32 ip daddr 192.0.2.31 udp dport != 0") // only one way, and only between the two
	defer heal()
	took := alice.untilAnswered(bob.name4, 20*time.Second)
	t.Logf("direct path black-holed one way: answers after %v", took)
	if took > 10*time.Second {
		t.Errorf("not within 10 s")
	}
	d.whole(2 * time.Minute)
}
