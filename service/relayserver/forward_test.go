package relayserver_test

import (
	"testing"
	"time"

	"nexd/internal/eventually"
	"nexd/mesh"
	"nexd/relay"
)

func TestCarriesPacketsBothWays(t *testing.T) {
	w := newWorld(t)
	a, b := w.member("lab"), w.member("lab")
	for i := range 200 {
		if err := a.client.Send(b.key.Public(), data(i, 1456)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 200 {
		if g := b.next(); g.from != a.key.Public() || g.packet != string(data(i, 1456)) {
			t.Fatalf("packet %d: %d bytes from %v", i, len(g.packet), g.from)
		}
	}
	for _, p := range [][]byte{hello('x'), data(1, 32), data(2, relay.MaxPacket)} {
		if err := b.client.Send(a.key.Public(), p); err != nil {
			t.Fatal(err)
		}
		if g := a.next(); g.from != b.key.Public() || g.packet != string(p) {
			t.Errorf("%d bytes from %v instead of %d", len(g.packet), g.from, len(p))
		}
	}
	if st := w.srv.Stats(); st.Packets != 203 || st.Nodes != 2 || st.Organizations != 1 || st.Dropped != 0 {
		t.Errorf("stats %+v", st)
	}
}

// WireGuard pads a packet to a multiple of 16 bytes, but not beyond the MTU: a full packet of 1,420
// bytes becomes 1,452, which is not a multiple of 16.
func TestFullPacketsAreCarried(t *testing.T) {
	w := newWorld(t)
	a, b := w.member("lab"), w.member("lab")
	for _, size := range []int{1420 + 32, 1280 + 32, 1412 + 32, 9000 + 32} {
		if err := a.client.Send(b.key.Public(), data(1, size)); err != nil {
			t.Errorf("%d bytes: %v", size, err)
			continue
		}
		if g := b.next(); len(g.packet) != size {
			t.Errorf("%d bytes came of %d", len(g.packet), size)
		}
	}
}

func TestNothingCrossesFromOneOrganizationToAnother(t *testing.T) {
	w := newWorld(t)
	a, b := w.member("lab"), w.member("shop")
	a.client.Send(b.key.Public(), data(1, 64))
	a.client.Send(newKey(t).Public(), data(1, 64)) // who is not here at all is treated the same
	a.client.Send(a.key.Public(), data(1, 64))     // as is oneself
	eventually.Within(t, 30*time.Second, "they are counted", func() bool { return w.srv.Stats().Unknown == 3 })
	b.none("from another organization")
	if st := w.srv.Stats(); st.Unknown != 3 || st.Packets != 0 {
		t.Errorf("stats %+v", st)
	}
}

func TestRoundTripIsMeasured(t *testing.T) {
	w := newWorld(t)
	a := w.member("lab")
	eventually.Within(t, 5*time.Second, "a round trip is measured", func() bool { _, _, rtt := a.client.Connected(); return rtt > 0 })
}

func TestSendRefusesWhatIsNotSealed(t *testing.T) {
	w := newWorld(t)
	a := w.member("lab")
	for _, p := range [][]byte{nil, []byte("GET / HTTP/1.1\r\nHost: somewhere.example\r\n\r\n"), data(1, 33), data(1, relay.MaxPacket+16), make([]byte, 148)} {
		if err := a.client.Send(newKey(t).Public(), p); mesh.KindOf(err) != mesh.Invalid {
			t.Errorf("%d bytes: %v", len(p), err)
		}
	}
}

func TestNewestConnectionOfAKeyWins(t *testing.T) {
	w := newWorld(t)
	a, b := w.member("lab"), w.member("lab")
	twin := w.start1("lab", a.key)
	twin.wait(true)
	a.wait(false)
	if _, why, _ := a.client.Connected(); why != "relay closed the connection: another agent connected with this node's key" {
		t.Errorf("the first one says %q", why)
	}
	b.client.Send(a.key.Public(), data(7, 64))
	if g := twin.next(); g.packet != string(data(7, 64)) {
		t.Error("the newest connection got something else")
	}
	a.none("a replaced connection")
	if st := w.srv.Stats(); st.Replaced != 1 || st.Nodes != 2 {
		t.Errorf("stats %+v", st)
	}
}

func TestRelayThatStopsSaysSoAndIsFoundAgain(t *testing.T) {
	w := newWorld(t)
	a, b := w.member("lab"), w.member("lab")
	for i := range 50 { // what was sent before the end arrives
		a.client.Send(b.key.Public(), data(i, 1024))
	}
	eventually.Within(t, 5*time.Second, "50 packets are forwarded", func() bool { return w.srv.Stats().Packets == 50 })
	w.stop()
	for i := range 50 {
		if g := b.next(); g.packet != string(data(i, 1024)) {
			t.Fatalf("packet %d of those that waited is missing", i)
		}
	}
	a.wait(false)
	if err := a.client.Send(b.key.Public(), data(1, 64)); mesh.KindOf(err) != mesh.Unavailable {
		t.Errorf("data without a connection: %v", err)
	}
	if err := a.client.Send(b.key.Public(), hello('h')); err != nil {
		t.Errorf("a handshake without a connection: %v", err)
	}
}
