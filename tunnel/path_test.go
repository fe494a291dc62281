package tunnel_test

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"nexd/internal/eventually"
	"nexd/internal/leak"
	"nexd/mesh"
	"nexd/tunnel"
)

// nat stands between a node and the rest: what comes from inside leaves by its
// outside port, which can change; what comes to the outside port goes inside.
type nat struct {
	t       testing.TB
	inside  *net.UDPConn
	to      netip.AddrPort // the far node
	client  atomic.Pointer[netip.AddrPort]
	mu      sync.Mutex
	outside *net.UDPConn
	wg      sync.WaitGroup
	corrupt atomic.Bool // damage what goes out
}

func newNAT(t testing.TB, to netip.AddrPort) *nat {
	n := &nat{t: t, to: to, inside: listenUDP(t, "127.0.0.1:0")}
	n.rebind("127.0.0.1:0")
	n.wg.Go(n.outwards)
	t.Cleanup(func() {
		n.inside.Close()
		n.mu.Lock()
		n.outside.Close()
		n.mu.Unlock()
		n.wg.Wait()
	})
	return n
}

func listenUDP(t testing.TB, addr string) *net.UDPConn {
	t.Helper()
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(addr)))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func addrOf(c *net.UDPConn) netip.AddrPort { return c.LocalAddr().(*net.UDPAddr).AddrPort() }

// rebind moves the outside to another address; the old mapping is gone.
func (n *nat) rebind(addr string) netip.AddrPort {
	c := listenUDP(n.t, addr)
	n.mu.Lock()
	if n.outside != nil {
		n.outside.Close()
	}
	n.outside = c
	n.mu.Unlock()
	n.wg.Go(func() { n.inwards(c) })
	return addrOf(c)
}

func (n *nat) outwards() {
	buf := make([]byte, 1<<16)
	for {
		size, src, err := n.inside.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		n.client.Store(&src)
		n.mu.Lock()
		out := n.outside
		n.mu.Unlock()
		if n.corrupt.Load() {
			buf[size-1] ^= 1
		}
		out.WriteToUDPAddrPort(buf[:size], n.to)
	}
}

func (n *nat) inwards(c *net.UDPConn) {
	buf := make([]byte, 1<<16)
	for {
		size, _, err := c.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		if client := n.client.Load(); client != nil {
			n.inside.WriteToUDPAddrPort(buf[:size], *client)
		}
	}
}

// transfer passes packets each way, none of which may be lost, but for those on their
// way when do disturbs in the middle.
func transfer(t *testing.T, a, b *node, do func()) {
	t.Helper()
	for i := range 400 {
		if i == 200 {
			do()
			mustTalkAgain(a, b, time.Second)
		}
		b.mustGet(a.send(b), soon)
		a.mustGet(b.send(a), soon)
	}
}

func TestANodeThatMovesInMidTransferIsFollowed(t *testing.T) {
	leak.Check(t)
	for _, tt := range []struct{ name, to string }{{"port", "127.0.0.1:0"}, {"address and port", "127.0.0.5:0"}} {
		t.Run(tt.name, func(t *testing.T) {
			a, b := newNode(t, 1), newNode(t, 2)
			box := newNAT(t, b.at("127.0.0.1"))
			a.know(map[*node][]netip.AddrPort{b: {addrOf(box.inside)}})
			b.know(map[*node][]netip.AddrPort{a: nil}) // behind a NAT: nobody knows where
			var moved netip.AddrPort
			transfer(t, a, b, func() { moved = box.rebind(tt.to) })
			if st, _ := b.bind.Path(a.key); st.Addr != moved {
				t.Errorf("path to a is %v, it moved to %v", st.Addr, moved)
			}
			if st, _ := a.bind.Path(b.key); st.Addr != addrOf(box.inside) {
				t.Errorf("path to b is %v", st.Addr)
			}
		})
	}
}

func TestOneDeadCandidateDoesNotMatter(t *testing.T) {
	leak.Check(t)
	dead := listenUDP(t, "127.0.0.9:0") // takes everything, answers nothing
	defer dead.Close()
	for _, tt := range []struct {
		name string
		bad  netip.AddrPort
	}{
		{"silent", addrOf(dead)},
		{"no such network", netip.MustParseAddrPort("255.255.255.255:9")},
		{"no such port", netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), freePort(t))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, b := newNode(t, 1), newNode(t, 2)
			a.know(map[*node][]netip.AddrPort{b: {tt.bad, b.at("127.0.0.1"), tt.bad}})
			b.know(map[*node][]netip.AddrPort{a: nil})
			mustTalk(a, b, soon)
			if st, _ := a.bind.Path(b.key); st.Addr != b.at("127.0.0.1") {
				t.Errorf("path = %v", st.Addr)
			}
		})
	}
}

// The path dies without the peer having moved by itself: it is found again at
// another candidate, once its probes go unanswered. The other side follows with its first
// packets, which may be lost.
func TestADeadPathIsLeftForAnotherCandidate(t *testing.T) {
	leak.Check(t)
	a, b := newNode(t, 1), newNode(t, 2)
	box := newNAT(t, b.at("127.0.0.1"))
	a.know(map[*node][]netip.AddrPort{b: {addrOf(box.inside)}})
	b.know(map[*node][]netip.AddrPort{a: nil})
	mustTalk(a, b, soon)
	a.know(map[*node][]netip.AddrPort{b: {b.at("127.0.0.1")}})
	box.inside.Close()
	a.send(b) // lost
	eventually.Within(t, 25*time.Second, "the path moved", func() bool {
		st, _ := a.bind.Path(b.key)
		return st.Addr == b.at("127.0.0.1")
	})
	mustTalkAgain(a, b, soon)
}

func TestUnknownSourcesAreDroppedAndCounted(t *testing.T) {
	leak.Check(t)
	a, b, c := newNode(t, 1), newNode(t, 2), newNode(t, 3)
	introduce(a, b)
	mustTalk(a, b, soon)

	// c knows b, b does not know c.
	c.know(map[*node][]netip.AddrPort{b: {b.at("127.0.0.1")}})
	c.send(b)
	eventually.True(t, "an unknown key", func() bool { return b.bind.Stats().UnknownKey >= 1 })
	c.stop()
	mustTalk(a, b, soon) // what came before this of c's is counted
	before := b.bind.Stats()

	noise := listenUDP(t, "127.0.0.1:0")
	defer noise.Close()
	for _, msg := range [][]byte{
		[]byte("hello"), make([]byte, 1400),
		append([]byte{1, 0, 0, 0}, make([]byte, 144)...),                 // an initiation without mac1
		append([]byte{4, 0, 0, 0, 1, 2, 3, 4}, make([]byte, 100)...),     // data of no session
		append([]byte{2, 0, 0, 0, 9, 9, 9, 9, 9}, make([]byte, 92-9)...), // answer to nobody
		append([]byte{3, 0, 0, 0, 9, 9, 9, 9, 9}, make([]byte, 64-9)...),
	} {
		noise.WriteToUDPAddrPort(msg, b.at("127.0.0.1"))
	}
	eventually.True(t, "six drops", func() bool {
		s := b.bind.Stats()
		return s.Malformed-before.Malformed == 2 && s.BadMAC-before.BadMAC == 1 && s.UnknownIndex-before.UnknownIndex == 3
	})
	mustTalk(a, b, soon)
}

// Whoever sees packets pass can send damaged copies from elsewhere; that must not
// move the path.
func TestAForgedSourceDoesNotMoveThePath(t *testing.T) {
	leak.Check(t)
	a, b := newNode(t, 1), newNode(t, 2)
	box := newNAT(t, b.at("127.0.0.1"))
	a.know(map[*node][]netip.AddrPort{b: {addrOf(box.inside)}})
	b.know(map[*node][]netip.AddrPort{a: nil})
	mustTalk(a, b, soon)
	before, _ := b.bind.Path(a.key)

	box.corrupt.Store(true)
	box.rebind("127.0.0.1:0")
	seen := b.bind.Stats().Attributed
	for range 50 {
		a.send(b)
	}
	eventually.True(t, "the forged packets", func() bool { return b.bind.Stats().Attributed >= seen+50 })
	tx := sentBytes(b)
	b.send(a) // to the old mapping, so lost; but it shows which path b takes
	eventually.True(t, "a packet of b", func() bool { return sentBytes(b) > tx })
	if after, _ := b.bind.Path(a.key); after.Addr != before.Addr {
		t.Errorf("path was %v, is %v", before.Addr, after.Addr)
	}
	box.corrupt.Store(false)
	mustTalkAgain(a, b, time.Second) // real packets from the new place do move it
}

func sentBytes(n *node) (sum uint64) {
	peers, err := n.tunl.Peers()
	if err != nil {
		n.t.Fatal(err)
	}
	for _, p := range peers {
		sum += p.Tx
	}
	return sum
}

func TestAPeerReachesOnlyWhatItMay(t *testing.T) {
	leak.Check(t)
	a, b := newNode(t, 1), newNode(t, 2)
	introduce(a, b)
	mustTalk(a, b, soon)
	// A patched a routes everything to b.
	if err := a.tunl.SetPeers([]tunnel.Peer{{Key: b.key, AllowedIPs: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}}}); err != nil {
		t.Fatal(err)
	}
	for i, dst := range []string{"127.0.0.1", "192.168.1.1", "100.64.0.9", "255.255.255.255"} {
		a.tun.out <- packet(a.v4, netip.MustParseAddr(dst), uint32(1000+i), 64)
	}
	a.tun.out <- packet(a.v6, netip.MustParseAddr("::1"), 1004, 64)
	eventually.True(t, "five drops", func() bool { _, dropped := b.filt.Stats(); return dropped == 5 })
	b.mustGet(a.send(b), soon)
	// And one with a source that is not a's is WireGuard's to drop.
	a.tun.out <- packet(netip.MustParseAddr("100.64.0.77"), b.v4, 2000, 64)
	b.mustGet(a.send(b), soon)
	if passed, dropped := b.filt.Stats(); passed != 3 || dropped != 5 {
		t.Errorf("passed %d, dropped %d", passed, dropped)
	}
}

func TestARemovedPeerIsCutOffAndCanComeBack(t *testing.T) {
	leak.Check(t)
	a, b := newNode(t, 1), newNode(t, 2)
	introduce(a, b)
	mustTalk(a, b, soon)
	b.know(nil)
	if _, ok := b.bind.Path(a.key); ok {
		t.Error("a removed peer still has a path")
	}
	unknown := b.bind.Stats().UnknownIndex
	a.send(b)
	eventually.True(t, "a drop", func() bool { return b.bind.Stats().UnknownIndex > unknown })
	b.know(map[*node][]netip.AddrPort{a: {a.at("127.0.0.1")}})
	meet(b, a)
	mustTalk(a, b, soon)
}

func TestThreeNodesAndTheirStatus(t *testing.T) {
	leak.Check(t)
	a, b, c := newNode(t, 1), newNode(t, 2), newNode(t, 3)
	at := func(n *node) []netip.AddrPort { return []netip.AddrPort{n.at("127.0.0.1"), n.at("::1")} }
	a.know(map[*node][]netip.AddrPort{b: at(b), c: at(c)})
	b.know(map[*node][]netip.AddrPort{a: at(a), c: at(c)})
	c.know(map[*node][]netip.AddrPort{a: at(a), b: at(b)})
	mustTalk(a, b, soon)
	mustTalk(b, c, soon)
	mustTalk(c, a, soon)
	peers, err := a.tunl.Peers()
	if err != nil || len(peers) != 2 {
		t.Fatalf("Peers = %v, %v", peers, err)
	}
	for _, p := range peers {
		if p.Rx == 0 || p.Tx == 0 || time.Since(p.LastHandshake) > time.Minute {
			t.Errorf("status %+v", p)
		}
	}
	if _, ok := a.bind.Path(mesh.Key{1}); ok {
		t.Error("a stranger has a path")
	}
}
