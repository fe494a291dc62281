package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"

	"nexd/internal/eventually"
	"nexd/mesh"
)

// stock is an ordinary wireguard-go: a TUN device stock0, the default bind, and the
// configuration in a file.
func stock(config string) error {
	text, err := os.ReadFile(config)
	if err != nil {
		return err
	}
	t, err := tun.CreateTUN("stock0", 1420)
	if err != nil {
		return err
	}
	dev := device.NewDevice(t, conn.NewDefaultBind(), device.NewLogger(device.LogLevelVerbose, ""))
	defer dev.Close()
	if err := errors.Join(dev.IpcSet(string(text)), dev.Up()); err != nil {
		return err
	}
	fmt.Println("up")
	select {}
}

// stockWorld is a stock WireGuard peer, and a node in each mode with a static map.
type stockWorld struct {
	*world
	tunNode, userNode *node
	config            string // of the stock peer
}

func newStockWorld(t *testing.T) *stockWorld {
	t.Helper()
	w := &stockWorld{world: &world{lab: newLab(t, "curl", "ping", "nft")}}
	w.host("node1", "192.0.2.11/24")
	w.host("node2", "192.0.2.12/24")
	w.host("stock", "192.0.2.31/24")
	w.bridge("node1", "cbr0", "172.24.0.1/24")
	w.bridged("c1", "node1", "cbr0", []string{"172.24.0.10/24"}, []string{"172.24.0.1"})
	w.container("c2", "node2", "172.28.0.1/24", "172.28.0.10/24")
	w.serveContainer("c1")
	w.serveContainer("c2")
	private, err := mesh.NewPrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	w.config = "private_key=" + private.Hex() + "\nlisten_port=51820\n"
	for i, name := range []string{"node1", "node2"} {
		n := &node{w: w.world, ns: name, root: name == "node1", state: w.ownDir("state-" + name)}
		if n.root { // the state belongs to the user that nexd runs as
			n.state = filepath.Join(w.dir, "tun-"+name)
		}
		out, code := n.cli(5*time.Second, "key")
		key, err := mesh.ParseKey(strings.TrimSpace(out))
		if code != 0 || err != nil {
			t.Fatalf("nexd key: %v\n%s", err, out)
		}
		prefix := []string{"172.24.0.0/24", "172.28.0.0/24"}[i]
		m := filepath.Join(w.dir, name+".json")
		text := fmt.Sprintf(`{"self":{"name":%q,"addresses":["100.64.0.%d"]},"peers":[{"name":"stock","key":%q,"addresses":["100.64.0.9"],"endpoints":["192.0.2.31:51820"]}]}`,
			name, i+1, private.Public())
		if err := os.WriteFile(m, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		mode := []string{"--tun", "--userspace"}[i]
		n.args = []string{bin("nexd"), "router", "--advertise-cidr=" + prefix, mode, "--proxy-listen=127.0.0.1:1080", "--listen-port=51820", "--map=" + m, "--state-dir=" + n.state}
		w.config += fmt.Sprintf("public_key=%s\nendpoint=192.0.2.%d:51820\nallowed_ip=100.64.0.%d/32\nallowed_ip=%s\n", key.Hex(), 11+i, 1+i, prefix)
		if i == 0 {
			w.tunNode = n
		} else {
			w.userNode = n
		}
	}
	return w
}

// up starts everything; routes are additional routes of the stock peer.
func (w *stockWorld) up(routes ...string) {
	w.t.Helper()
	w.tunNode.launch()
	w.userNode.launch()
	file := filepath.Join(w.dir, "stock.conf")
	if err := os.WriteFile(file, []byte(w.config), 0o600); err != nil {
		w.t.Fatal(err)
	}
	p := w.launch(w.prepareAs("stock", "stock wireguard-go", []string{"NEXD_E2E_HELPER=1"}, []string{bin("helper"), "wireguard", file}))
	p.line("up", 10*time.Second)
	w.in("stock", "ip", "addr", "add", "100.64.0.9/32", "dev", "stock0")
	w.in("stock", "ip", "link", "set", "stock0", "up")
	for _, r := range append(routes, "100.64.0.1/32", "100.64.0.2/32", "172.24.0.0/24", "172.28.0.0/24") {
		w.in("stock", "ip", "route", "add", r, "dev", "stock0")
	}
}

// TestStockWireGuard exchanges traffic between upstream's wireguard-go on its own
// TUN device and a node in each mode.
func TestStockWireGuard(t *testing.T) {
	t.Parallel() // it waits for a rekey
	w := newStockWorld(t)
	w.up()
	w.serveContainer("stock") // reached by both nodes
	both := func() {
		t.Helper()
		w.mustPing("stock", "100.64.0.1", "100.64.0.2", "172.24.0.10", "172.28.0.10")
		w.fetch("stock", "http://172.24.0.10/")
		w.fetch("stock", "http://172.28.0.10/")
		w.mustPing("c1", "100.64.0.9")
		w.fetch("c1", "http://100.64.0.9/")
		w.tunNode.mustFetch("http://100.64.0.9/")
		w.userNode.mustFetch("http://100.64.0.9/")
	}
	both()
	if os.Getenv("CI") == "" && os.Getenv("NEXD_E2E_LONG") == "" {
		t.Log("without NEXD_E2E_LONG or CI the rekeying after 2 min is left out")
		return
	}
	last := func(n *node) time.Time { return n.status().Peers[0].LastHandshake }
	first := map[*node]time.Time{w.tunNode: last(w.tunNode), w.userNode: last(w.userNode)}
	for n, before := range first {
		eventually.Within(t, 130*time.Second, n.ns+" has rekeyed", func() bool {
			w.mustPing("stock", "172.24.0.10", "172.28.0.10")
			return last(n).After(before)
		})
	}
	both()
}

// TestAPeerReachesNothingElse sends arbitrary packets from a peer. They reach the prefix of
// a router in TUN mode, and no other network of its host.
func TestAPeerReachesNothingElse(t *testing.T) {
	w := newStockWorld(t)
	others := []string{"192.0.2.12", "172.30.0.10", "172.30.0.1", "169.254.169.254", "172.24.1.10"}
	w.bridge("node1", "other0", "172.30.0.1/24", "172.24.1.1/24")
	w.bridged("c3", "node1", "other0", []string{"172.30.0.10/24", "172.24.1.10/24", "169.254.169.254/16"}, []string{"172.30.0.1"})
	w.in("node1", "ip", "addr", "add", "169.254.0.1/16", "dev", "other0")
	w.in("node1", "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward") // as Docker has it
	w.serveContainer("c3")
	if out, code := w.tryAs("node1", 5*time.Second, []string{"curl", "-sS", "--max-time", "3", "http://169.254.169.254/"}); code != 0 {
		t.Fatalf("node1 itself does not reach it: %s", out)
	}
	i := strings.Index(w.config, "\npublic_key=") + 1 // node1's section
	j := i + strings.Index(w.config[i:], "allowed_ip=")
	w.config = w.config[:j] + "allowed_ip=192.0.2.0/24\nallowed_ip=172.30.0.0/24\nallowed_ip=172.24.1.0/24\nallowed_ip=169.254.0.0/16\n" + w.config[j:]
	w.up("192.0.2.12/32", "172.30.0.0/24", "172.24.1.0/24", "169.254.0.0/16")
	w.mustPing("stock", "172.24.0.10")
	w.in("stock", "sh", "-c", "echo 0 > /proc/sys/net/ipv4/conf/all/rp_filter")
	for _, a := range others {
		if out, code := w.tryAs("stock", 5*time.Second, []string{"ping", "-n", "-c", "1", "-W", "1", a}); code == 0 {
			t.Errorf("ping %s is answered:\n%s", a, out)
		}
		if out, code := w.tryAs("stock", 5*time.Second, []string{"curl", "-sS", "--max-time", "1", "http://" + a + "/"}); code == 0 {
			t.Errorf("http://%s/ is answered: %s", a, out)
		}
	}
	w.fetch("stock", "http://172.24.0.10/")
}
