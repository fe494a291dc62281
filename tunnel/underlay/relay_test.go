package underlay

import (
	"net/netip"
	"testing"
	"time"

	"nexd/internal/eventually"
	"nexd/internal/sealed"
)

// A peer that asks again did not get the answer by the direct path.
func TestASecondResponseGoesThroughTheRelayToo(t *testing.T) {
	c := newCouple(t)
	c.data(t, c.a.peer(c.b.key).viaRelay)
	c.must(t)
	eventually.Within(t, 10*time.Second, "direct", func() bool { st, _ := c.a.Path(c.b.key); return st.Probed })
	ep := c.a.peer(c.b.key).cached(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), c.b.LocalPort()))
	for i := range int64(3) {
		before := c.wa.sent.Load()
		if err := c.a.Send([][]byte{message(sealed.Response, sealed.ResponseSize, uint32(100+i))}, ep); err != nil {
			t.Fatal(err)
		}
		if got, want := c.wa.sent.Load()-before, min(i, 1); got != want {
			t.Errorf("response %d: %d copies through the relay, want %d", i, got, want)
		}
	}
}

// Who hears a peer through the relay answers there at once, however good the direct
// path was: the peer may know better.
func TestAnAnswerFollowsThePeerToTheRelay(t *testing.T) {
	c := newCouple(t)
	c.data(t, c.a.peer(c.b.key).viaRelay)
	c.must(t)
	eventually.Within(t, 10*time.Second, "direct", func() bool { st, _ := c.a.Path(c.b.key); return st.Probed })
	direct := c.a.peer(c.b.key).cached(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), c.b.LocalPort()))
	c.data(t, direct)
	c.must(t)
	time.Sleep(600 * time.Millisecond) // the last answer is no news any more
	c.b.Close()                        // nor will there be another
	before := c.wa.sent.Load()
	c.data(t, direct)
	if n := c.wa.sent.Load() - before; n != 0 {
		t.Errorf("%d packets through the relay while the peer is heard directly", n)
	}
	c.data(t, c.a.peer(c.b.key).viaRelay)
	if n := c.wa.sent.Load() - before; n != 1 {
		t.Errorf("%d packets through the relay for one heard through it", n)
	}
}

// WireGuard repeats an initiation after 5 s only; a relay that comes within those gets
// it at once.
func TestARelayThatComesGetsTheInitiationThatWaits(t *testing.T) {
	c := newCouple(t)
	c.a.SetSelf(nil)
	c.b.SetSelf(nil)
	c.a.RelayUp(false)
	ep, _ := c.a.ParseEndpoint(c.b.key.String())
	_ = c.a.Send([][]byte{initiation(t, c.a.private, c.b.key)}, ep) // to nowhere
	if n := c.wa.sent.Load(); n != 0 {
		t.Fatalf("%d packets through a relay that is down", n)
	}
	c.a.RelayUp(true)
	c.must(t)
}
