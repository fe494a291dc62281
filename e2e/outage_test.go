package e2e

import (
	"encoding/json"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"nexd/internal/eventually"
	"nexd/internal/sealed"
)

// TestADirectPathUnderAttackAndWithoutItsService has alice and bob with a direct path, and
// carol, who reaches bob only through the relay. An attacker attacks alice and bob; then
// service and relay are killed and restarted.
func TestADirectPathUnderAttackAndWithoutItsService(t *testing.T) {
	t.Parallel() // mostly it waits
	w := &world{lab: newLab(t, "curl", "nft")}
	w.host("svc", "192.0.2.1/24")
	w.host("alice", "192.0.2.31/24")
	w.host("bob", "192.0.2.32/24")
	w.host("mallory", "192.0.2.66/24")
	w.behindRouter("carol", 33)
	w.in("nat-carol", "nft", "add table ip narrow; add chain ip narrow f { type filter hook forward priority 0; }; add rule ip narrow f meta l4proto udp drop")
	w.container("c1", "bob", "172.24.0.1/24", "172.24.0.10/24")
	w.serveContainer("c1")
	w.serveAll("192.0.2.1:8443")
	bob := w.router("bob", "172.24.0.0/24")
	carol := w.join("carol")
	pcap := w.capture()
	alice := w.join("alice")
	for _, n := range []*node{alice, bob, carol} {
		n.untilRelay()
	}
	direct, relayed := alice.flow("172.24.0.10:7"), carol.flow("172.24.0.10:7")
	alice.untilPathTo("bob", "direct", 10*time.Second)
	bob.untilPathTo("alice", "direct", 10*time.Second)
	carol.untilPathTo("bob", "relay", 10*time.Second)
	between := func(frames [][]byte) []datagram {
		return datagrams(frames, netip.MustParseAddr("192.0.2.31"), netip.MustParseAddr("192.0.2.32"))
	}
	eventually.True(t, "probes of both are recorded", func() bool {
		to := map[netip.AddrPort]int{}
		for _, d := range probesAndHandshakes(between(pcap.soFar(t))) {
			if sealed.Type(d.Data) == sealed.Data {
				to[d.To]++
			}
		}
		return len(to) == 2 && !slices.ContainsFunc(slices.Collect(maps.Values(to)), func(n int) bool { return n < 3 })
	})
	w.attacked(alice, bob, direct, between(pcap.end(t)))
	w.withoutService(alice, bob, carol, direct, relayed)
	direct.whole()
	relayed.whole()
}

// attacked lets mallory replay, forge and flood during a connection.
func (w *world) attacked(alice, bob *node, f *flow, seen []datagram) {
	t := w.t
	t.Helper()
	kinds := map[uint32]int{}
	for _, d := range seen {
		kinds[sealed.Type(d.Data)]++
	}
	t.Logf("recorded by type: %v", kinds)
	b, err := json.Marshal(seen)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(w.ownDir("mallory"), "seen.json")
	if err := os.WriteFile(file, b, 0o644); err != nil {
		t.Fatal(err)
	}
	_, atBob := alice.pathTo("bob")
	_, atAlice := bob.pathTo("alice")
	before, handshakes := alice.status().Dropped, repeatedHandshakes(alice, bob)
	f.gap()
	p := w.start("mallory", "attack", []string{"NEXD_E2E_HELPER=1"}, bin("helper"), "attack", file, "192.0.2.1:3478", "192.0.2.1:3479")
	looks, relayed := 0, 0
	eventually.Within(t, 2*time.Minute, "the attack is over", func() bool {
		looks++
		for n, peer := range map[*node]string{alice: "bob", bob: "alice"} {
			path, at := n.pathTo(peer)
			switch {
			case path == "direct" && (at == map[*node]string{alice: atBob, bob: atAlice}[n]):
			case path == "relay": // a starved machine loses probes, attacked or not
				relayed++
				t.Logf("the way of %s to %s is %+v", n.ns, peer, n.look().Peers)
			default:
				t.Fatalf("under attack the way of %s to %s is %s %s", n.ns, peer, path, at)
			}
		}
		return p.over()
	})
	if relayed > looks/4 {
		t.Errorf("under attack the path was not direct in %d of %d looks", relayed, 2*looks)
	}
	alice.untilPathTo("bob", "direct", 10*time.Second)
	bob.untilPathTo("alice", "direct", 10*time.Second)
	if code := p.exit(time.Minute); code != 0 {
		t.Fatalf("the attack itself failed\n%s", p.log())
	}
	sent, got := report(p)
	t.Logf("mallory sent %d bytes and got %d\n%s", sent, got, p.log())
	if got >= sent/4 { // STUN is answered, byte for byte at most
		t.Errorf("mallory got %d bytes for %d", got, sent)
	}
	promised(t, 2*time.Second, f.gap(), "under attack, longest silence on the connection")
	after := alice.status().Dropped
	for what, rose := range map[string]bool{
		"malformed": after.Malformed > before.Malformed+100, "handshakes": after.Handshakes > before.Handshakes+100,
		"forged probes": after.ProbesForged > before.ProbesForged+100, "replayed probes": after.ProbesReplayed > before.ProbesReplayed+100,
		"replayed handshakes": repeatedHandshakes(alice, bob) > handshakes,
		"unknown sessions":    after.UnknownSessions > before.UnknownSessions+100,
	} {
		if !rose {
			t.Errorf("too few %s are counted: %+v, before %+v", what, after, before)
		}
	}
}

// repeatedHandshakes counts the handshake messages that came before. A recorded initiation
// is replayed to one node, its response to the other; the response is recorded only if it
// came by the direct path.
func repeatedHandshakes(nodes ...*node) (count uint64) {
	for _, n := range nodes {
		d := n.status().Dropped
		count += d.Replayed + d.Copies
	}
	return count
}

// withoutService kills service and relay, and starts them again.
func (w *world) withoutService(alice, bob, carol *node, direct, relayed *flow) {
	t := w.t
	t.Helper()
	direct.gap()
	relayed.gap()
	w.svc.stop(syscall.SIGKILL)
	killed := time.Now()
	eventually.Within(t, 15*time.Second, "alice notices", func() bool { s := alice.look(); return !s.Service.Connected && !s.Relay.Connected })
	alice.mustFetch("http://172.24.0.10/")
	if path, _ := alice.pathTo("bob"); path != "direct" {
		t.Errorf("without the service the path is %s", path)
	}
	// By then nodes wait the maximum time between two attempts.
	eventually.Stays(t, time.Until(killed.Add(8*time.Second)), "the path is direct without the service", func() bool {
		path, _ := alice.pathTo("bob")
		return path == "direct"
	})
	w.serve()
	back := time.Now()
	carol.untilFlows(bob.name4, time.Minute)
	promised(t, 10*time.Second, time.Since(back), "relay back: answers through it")
	for _, n := range []*node{alice, bob, carol} {
		eventually.Within(t, time.Minute, n.ns+" is connected again", func() bool { return n.look().Service.Connected })
	}
	t.Logf("everybody is connected again after %v; the relayed connection was silent for %v", time.Since(back), relayed.gap())
	promised(t, 2*time.Second, direct.gap(), "service killed and back, longest silence on the direct connection")
}
