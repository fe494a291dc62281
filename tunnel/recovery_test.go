package tunnel_test

import (
	"net/netip"
	"testing"
	"time"

	"nexd/internal/eventually"
	"nexd/internal/leak"
	"nexd/mesh"
	"nexd/tunnel/underlay"
)

// A peer killed and started again has no session, its other side still has one.
func TestRestartedPeerInitiatesAndIsUsableAtOnce(t *testing.T) {
	leak.Check(t)
	a, b := newNode(t, 1), newNode(t, 2)
	introduce(a, b)
	mustTalk(a, b, soon)

	b = restart(b)
	meet(b, a)
	began := time.Now()
	mustTalk(a, b, soon)
	if d := time.Since(began); d > 4*time.Second { // a lost initiation is repeated after 5
		t.Errorf("took %v", d)
	}
}

// The same without anybody remembering the session: the data that a still sends
// is what tells b.
func TestStrayDataTellsARestartedPeerWhoMissesIt(t *testing.T) {
	leak.Check(t)
	a, b := newNode(t, 1), newNode(t, 2)
	introduce(a, b)
	mustTalk(a, b, soon)

	stray := make(chan mesh.Key, 1)
	b = restart(b, func(c *underlay.Config) { c.OnStray = func(k mesh.Key) { stray <- k } })
	a.send(b) // lost: b has no such session
	select {
	case k := <-stray:
		if k != a.key {
			t.Fatalf("stray from %v", k)
		}
	case <-time.After(soon):
		t.Fatal("nobody noticed")
	}
	meet(b, a)
	mustTalk(a, b, soon)
}

// restart is kill -9 and a new process: same key, same port, no memory.
func restart(b *node, edit ...func(*underlay.Config)) *node {
	port := b.bind.LocalPort()
	peers := b.known
	b.stop()
	again := &node{t: b.t, name: b.name, priv: b.priv, key: b.key, v4: b.v4, v6: b.v6, seq: b.seq}
	again.start(port, edit...)
	again.know(peers)
	return again
}

// handshaken reports whether n has completed a handshake with another since then. The
// answering side has once data came under the new keys.
func handshaken(n, with *node, since time.Time) bool {
	peers, err := n.tunl.Peers()
	if err != nil {
		n.t.Fatal(err)
	}
	for _, p := range peers {
		if p.Key == with.key {
			return p.LastHandshake.After(since)
		}
	}
	return false
}

// meet makes a new session, begun by a.
func meet(a, b *node) {
	a.t.Helper()
	began := time.Now()
	a.tunl.Initiate(b.key)
	eventually.True(a.t, "a handshake", func() bool { return handshaken(b, a, began) })
}

func TestDownAndUpAgainKeepsThePort(t *testing.T) {
	leak.Check(t)
	a, b := newNode(t, 1), newNode(t, 2)
	introduce(a, b)
	mustTalk(a, b, soon)
	for range 3 {
		port := b.bind.LocalPort()
		b = restart(b)
		if b.bind.LocalPort() != port {
			t.Fatalf("port was %d, is %d", port, b.bind.LocalPort())
		}
		meet(b, a)
		mustTalk(a, b, soon)
	}
}

func TestCandidatesThatComeLateAreTriedAtOnce(t *testing.T) {
	leak.Check(t)
	a, b := newNode(t, 1), newNode(t, 2)
	a.know(map[*node][]netip.AddrPort{b: nil})
	b.know(map[*node][]netip.AddrPort{a: nil})
	seq := a.send(b) // WireGuard begins a handshake and can send it nowhere
	eventually.True(t, "an initiation", func() bool { return a.bind.Stats().SendErrors > 0 })
	a.know(map[*node][]netip.AddrPort{b: {b.at("127.0.0.1")}})
	b.mustGet(seq, 2*time.Second) // WireGuard's own next try is after 5 s
}
