package underlay

import (
	"net/netip"
	"testing"
	"time"
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

func TestACallHasSTUNAskedAgain(t *testing.T) {
	var m mapping
	m.init(nil)
	if m.soon(time.Hour) {
		t.Error("without a server")
	}
	m.servers = []netip.AddrPort{here}
	now := time.Hour
	ask := func() int {
		out, _ := m.questions(now, true)
		return len(out)
	}
	if ask() != 1 || m.soon(now+time.Second) {
		t.Error("asked again within a second")
	}
	now += remapGap
	clear(m.open) // it was answered
	if ask() != 0 {
		t.Error("asked without a reason")
	}
	if !m.soon(now) || ask() != 1 {
		t.Error("not asked again")
	}
}
