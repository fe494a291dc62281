package underlay

import (
	"testing"
	"time"

	"nexd/internal/eventually"
	"nexd/tunnel/disco"
)

// Whoever has seen a probe can send it again as often as they like. That must not
// use up what the peer itself may send.
func TestReplaysDoNotKeepThePeerOut(t *testing.T) {
	c := newCouple(t)
	pair, err := disco.NewPair(c.a.private, c.b.key)
	if err != nil {
		t.Fatal(err)
	}
	x := newAttacker(t)
	stamp := uint64(1) << 62
	for _, m := range []disco.Message{{Kind: disco.Ping, Time: stamp}, {Kind: disco.Pong, Tx: disco.TxID{7}}} {
		packet := pair.Seal(m)
		before := c.b.Stats().ProbesReplayed
		x.mark(c.b)
		const flood = 1000
		for i := range flood {
			x.send(c.b, packet)
			x.await(c.b, i)
		}
		eventually.Within(t, 5*time.Second, "most are counted as replayed", func() bool { return c.b.Stats().ProbesReplayed-before > flood*2/3 })
		x.answers()
		stamp++
		x.send(c.b, pair.Seal(disco.Message{Kind: disco.Ping, Time: stamp}))
		x.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, _, err := x.ReadFromUDPAddrPort(make([]byte, 2000)); err != nil {
			t.Errorf("after a flood of kind %d a new probe is not answered: %v", m.Kind, err)
		}
	}
	if s := c.b.Stats(); s.ProbesLimited != 0 {
		t.Errorf("%+v", s)
	}
}
