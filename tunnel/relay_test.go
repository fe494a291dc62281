package tunnel_test

import (
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"nexd/internal/eventually"
	"nexd/mesh"
	"nexd/tunnel/underlay"
)

// exchange is a relay in memory between nodes.
type exchange struct {
	from  *node
	nodes map[mesh.Key]*node
	cut   *atomic.Bool
}

func (x exchange) Send(to mesh.Key, packets ...[]byte) error {
	if n := x.nodes[to]; n != nil && !x.cut.Load() {
		n.bind.FromRelay(x.from.key, packets...)
	}
	return nil
}

// relayedNodes are two nodes that probe, with a relay between them and no address
// of each other.
func relayedNodes(t *testing.T) (a, b *node, cut *atomic.Bool) {
	t.Helper()
	cut = new(atomic.Bool)
	nodes := map[mesh.Key]*node{}
	for i, n := range []**node{&a, &b} {
		*n = identity(t, i+1)
		nodes[(*n).key] = *n
	}
	for _, n := range []*node{a, b} {
		n.start(0, func(c *underlay.Config) { c.Relay = exchange{n, nodes, cut} })
		n.bind.RelayUp(true)
	}
	a.know(map[*node][]netip.AddrPort{b: nil})
	b.know(map[*node][]netip.AddrPort{a: nil})
	return a, b, cut
}

func TestWireGuardThroughTheRelayThenDirectly(t *testing.T) {
	a, b, cut := relayedNodes(t)
	mustTalk(a, b, 5*time.Second)
	if st, _ := a.bind.Path(b.key); !st.Relay || st.Addr.IsValid() {
		t.Errorf("without any address the path is %+v", st)
	}
	begun := time.Now()
	a.bind.SetSelf([]netip.AddrPort{a.at("127.0.0.1")})
	mustTalk(a, b, 5*time.Second)
	eventually.Within(t, 3*time.Second, "direct both ways", func() bool {
		x, _ := a.bind.Path(b.key)
		y, _ := b.bind.Path(a.key)
		return x.Probed && y.Probed
	})
	t.Logf("direct %v after one side told its address", time.Since(begun))
	cut.Store(true) // no handshake is needed to move
	mustTalk(a, b, time.Second)
}
