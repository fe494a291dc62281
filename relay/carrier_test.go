package relay

import (
	"bytes"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"nexd/internal/leak"
	"nexd/internal/udprun"
	"nexd/mesh"
)

// end is one side of a UDP carrier on loopback.
type end struct {
	*Carrier
	t    testing.TB
	conn *udprun.Conn

	mu  sync.Mutex
	own [][]byte // frames that it sent on the WebSocket
}

// newEnds returns both sides of a session. What one sends on the WebSocket waits in own.
func newEnds(t testing.TB) (a, b *end) {
	t.Helper()
	x, y := [32]byte{1}, [32]byte{2}
	make1 := func(seal, open [32]byte) *end {
		udp, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		udp.SetReadDeadline(time.Now().Add(30 * time.Second))
		e := &end{t: t, conn: udprun.New(udp)}
		t.Cleanup(func() { e.conn.Close() })
		e.Carrier = NewCarrier(SessionID{9}, seal, open, func(ty Type, parts ...[]byte) bool {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.own = append(e.own, AppendFrame(nil, ty, parts...))
			return true
		})
		e.Believe(time.Now().Add(time.Hour))
		return e
	}
	a, b = make1(x, y), make1(y, x)
	a.Aim(a.conn, b.conn.LocalAddr(), netip.Addr{})
	b.Aim(b.conn, a.conn.LocalAddr(), netip.Addr{})
	return a, b
}

// tell hands what e said on the WebSocket to the other side, and says how much that was.
func (e *end) tell(to *end) int {
	e.mu.Lock()
	own := e.own
	e.own = nil
	e.mu.Unlock()
	for _, f := range own {
		switch ty, body, _, err := NextFrame(f); {
		case err != nil:
			e.t.Error(err)
		case ty == TypeBind:
			to.Bind(body)
		case ty == TypeBound:
			to.Bound(body)
		}
	}
	return len(own)
}

// came reads until n packets have arrived, and returns how many of them came in short datagrams.
func (e *end) came(n int) (packets [][]byte, from []mesh.Key, short int) {
	e.t.Helper()
	buf, r := make([]byte, udprun.BufferSize), e.conn.Reader()
	for len(packets) < n {
		m, segment, _, err := r.Read(buf)
		if err != nil {
			e.t.Fatalf("after %d of %d packets: %v", len(packets), n, err)
		}
		for _, t := range e.Take(nil, buf[:m], segment) {
			switch {
			case t.Err != nil:
				e.t.Fatal(t.Err)
			case t.Packet != nil:
				packets, from = append(packets, slices.Clone(t.Packet)), append(from, t.Peer)
				short++
			default:
				EachFrame(t.Frames, func(_ Type, body []byte) error {
					k, p, err := ParseData(body)
					packets, from = append(packets, slices.Clone(p)), append(from, k)
					return err
				})
			}
		}
	}
	return packets, from, short
}

func some(n, size int) (packets [][]byte) {
	for i := range n {
		packets = append(packets, wgData(i, size))
	}
	return packets
}

func TestPacketsGoShortOnceTheChannelIsKnown(t *testing.T) {
	leak.Check(t)
	a, b := newEnds(t)
	peer := mesh.Key{7}
	check := func(name string, want [][]byte, wantShort int) {
		t.Helper()
		if !a.Send(peer, want...) {
			t.Fatalf("%s: not sent", name)
		}
		got, from, short := b.came(len(want))
		for i, p := range got {
			if !bytes.Equal(p, want[i]) || from[i] != peer {
				t.Errorf("%s: packet %d is another", name, i)
			}
		}
		if short != wantShort {
			t.Errorf("%s: %d of %d in short datagrams, want %d", name, short, len(want), wantShort)
		}
	}
	check("nobody knows", some(3, 1452), 0)
	if n := a.tell(b); n != 1 {
		t.Errorf("asked %d times", n)
	}
	check("b knows, a does not", some(3, 1452), 0)
	if n := b.tell(a); n != 1 {
		t.Errorf("answered %d times", n)
	}
	check("both know", some(100, 1452), 100)
	mixed := slices.Concat(some(5, 1452), some(1, 96), some(2, 32), some(3, 1452), some(1, 9032))
	check("sizes change", mixed, len(mixed))
	hello := make([]byte, 148)
	hello[0] = 1
	check("a handshake among them", [][]byte{wgData(1, 1452), hello, wgData(2, 1452)}, 2)
	if n := a.tell(b); n != 0 {
		t.Errorf("asked again, %d times", n)
	}
}

func TestNothingIsSentThatWouldNotArrive(t *testing.T) {
	a, _ := newEnds(t)
	a.Believe(time.Time{})
	run, segment := laid(wgData(1, 64))
	if a.Send(mesh.Key{1}, wgData(1, 64)) || a.SendRun(mesh.Key{1}, run, segment) || a.SendMessage(AppendData(nil, mesh.Key{1}, wgData(1, 64))) || a.Good() {
		t.Error("sent where nothing arrives")
	}
}

func TestAMessageOfTheQueueGoesInRuns(t *testing.T) {
	a, b := newEnds(t)
	for _, k := range []mesh.Key{{1}, {2}} {
		a.Send(k, wgData(0, 64))
	}
	b.came(2)
	a.tell(b)
	b.tell(a)
	q := NewQueue(4, nil)
	for i := range 11 {
		q.Push(mesh.Key{byte(1 + i/6)}, wgData(i, 1024), Data)
	}
	q.Take(func(m []byte) error {
		if !a.SendMessage(m) {
			t.Error("not sent")
		}
		return nil
	})
	got, from, short := b.came(11)
	if short != 11 || from[0] != (mesh.Key{1}) || from[10] != (mesh.Key{2}) || !bytes.Equal(got[10], wgData(10, 1024)) {
		t.Errorf("%d packets, %d short, from %v and %v", len(got), short, from[0], from[10])
	}
}

func TestForgedAndRepeatedDatagramsOfARunAreTold(t *testing.T) {
	a, b := newEnds(t)
	b.Bind(bindBody(1, mesh.Key{7}))
	run, segment := laid(some(5, 96)...)
	a.Carrier.sending.Lock()
	a.seal.short(run, segment, 1)
	a.Carrier.sending.Unlock()
	copy(run[3*segment:4*segment], run[2*segment:3*segment])
	run[segment+15] ^= 1
	var got []error
	for _, t := range b.Take(nil, run, segment) {
		got = append(got, t.Err)
	}
	if want := []error{nil, ErrForged, nil, ErrRepeated, nil}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	unknown, segment := laid(some(1, 96)...)
	a.Carrier.sending.Lock()
	a.seal.short(unknown, segment, 2)
	a.Carrier.sending.Unlock()
	if got := b.Take(nil, unknown, segment); got[0].Err != errNoChannel || got[0].Packet != nil {
		t.Errorf("a channel that nobody has named: %+v", got[0])
	}
}

func TestChannelsAreGivenToOthersAfterARest(t *testing.T) {
	var c channels
	now := time.Unix(1000, 0)
	key := func(i int) mesh.Key { return mesh.Key{byte(i), byte(i >> 8), 1} }
	for i := range MaxChannels {
		good, ask := c.find(key(i), now)
		if good != 0 || ask != uint16(i+1) {
			t.Fatalf("peer %d: %d, %d", i, good, ask)
		}
		c.bound(ask, key(i))
		if good, ask = c.find(key(i), now); good != uint16(i+1) || ask != 0 {
			t.Fatalf("peer %d, known: %d, %d", i, good, ask)
		}
	}
	if good, ask := c.find(key(1000), now); good != 0 || ask != 0 {
		t.Errorf("one more than there are: %d, %d", good, ask)
	}
	later := now.Add(channelRest)
	for i := range MaxChannels {
		if i != 5 {
			c.find(key(i), later)
		}
	}
	if good, ask := c.find(key(1000), later); good != 0 || ask != 6 {
		t.Errorf("after a rest: %d, %d; want the sixth", good, ask)
	}
	c.bound(6, key(5)) // an answer that was under way
	if good, _ := c.find(key(1000), later); good != 0 {
		t.Error("a channel is good that the other side knows as another's")
	}
	if good, ask := c.find(key(1000), later.Add(channelAgain)); good != 0 || ask != 6 {
		t.Errorf("without an answer it is asked again: %d, %d", good, ask)
	}
	c.bound(6, key(1000))
	if good, _ := c.find(key(1000), later); good != 6 {
		t.Errorf("known: %d", good)
	}
	if len(c.by) != MaxChannels || len(c.list) != MaxChannels {
		t.Errorf("%d and %d channels are held", len(c.by), len(c.list))
	}
}

func TestBindTakesOnlyChannelsThatExist(t *testing.T) {
	a, _ := newEnds(t)
	for _, body := range [][]byte{nil, bindBody(0, mesh.Key{1}), bindBody(MaxChannels+1, mesh.Key{1}), append(bindBody(1, mesh.Key{1}), 0), make([]byte, 3)} {
		a.Bind(body)
		a.Bound(body)
	}
	if len(a.ins) != 0 || len(a.own) != 0 {
		t.Errorf("%d channels, %d answers", len(a.ins), len(a.own))
	}
	for i := range 3 * MaxChannels {
		a.Bind(bindBody(uint16(1+i%MaxChannels), mesh.Key{byte(i)}))
	}
	if len(a.ins) != MaxChannels {
		t.Errorf("%d channels", len(a.ins))
	}
}
