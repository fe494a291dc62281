package underlay

import (
	"testing"
)

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
