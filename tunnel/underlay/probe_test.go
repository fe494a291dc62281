package underlay

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/conn"

	"nexd/internal/eventually"
	"nexd/internal/leak"
	"nexd/internal/sealed"
	"nexd/internal/stun"
	"nexd/mesh"
	"nexd/tunnel/disco"
	"nexd/tunnel/reflexive"
)

// wire is a relay in memory.
type wire struct {
	from mesh.Key
	to   map[mesh.Key]*Bind
	cut  atomic.Bool
	sent atomic.Int64
}

func (w *wire) Send(to mesh.Key, packets ...[]byte) error {
	if w.cut.Load() {
		return mesh.Errorf(mesh.Unavailable, "cut")
	}
	w.sent.Add(int64(len(packets)))
	if b := w.to[to]; b != nil {
		b.FromRelay(w.from, packets...)
	}
	return nil
}

// couple is two binds that run and know each other through a relay only.
type couple struct {
	a, b   *Bind
	wa, wb *wire
	got    chan []byte // what b receives for WireGuard
}

func newCouple(t *testing.T) *couple {
	t.Helper()
	leak.Check(t)
	c := &couple{wa: &wire{}, wb: &wire{}, got: make(chan []byte, 1000)}
	c.a, c.b = c.bind(t, c.wa), c.bind(t, c.wb)
	for _, w := range []*wire{c.wa, c.wb} {
		w.to = map[mesh.Key]*Bind{c.a.key: c.a, c.b.key: c.b}
	}
	c.wa.from, c.wb.from = c.a.key, c.b.key
	c.a.SetPeers([]Peer{{Key: c.b.key}})
	c.b.SetPeers([]Peer{{Key: c.a.key}})
	for _, b := range []*Bind{c.a, c.b} {
		c.open(t, b)
		run(t, b)
		b.RelayUp(true)
		b.SetSelf([]netip.AddrPort{netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), b.LocalPort())})
	}
	return c
}

func (c *couple) bind(t *testing.T, w *wire) *Bind {
	t.Helper()
	b, err := New(Config{PrivateKey: newKey(t), Relay: w})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// open receives all that a bind has for WireGuard.
func (c *couple) open(t *testing.T, b *Bind) {
	t.Helper()
	fns, _, err := b.Open(0)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	for _, fn := range fns {
		go func() {
			defer func() { done <- struct{}{} }()
			v := newVector(8)
			for {
				n, err := fn(v.bufs, v.sizes, v.eps)
				if err != nil {
					return
				}
				for i := range n {
					if v.sizes[i] > 0 && b == c.b {
						c.got <- append([]byte(nil), v.bufs[i][:v.sizes[i]]...)
					}
				}
			}
		}()
	}
	t.Cleanup(func() {
		b.Shutdown()
		for range fns {
			<-done
		}
	})
}

// run runs a bind until the test ends.
func run(t *testing.T, b *Bind) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- b.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// data sends a data message of a session whose receiver index b has given out.
func (c *couple) data(t *testing.T, ep conn.Endpoint) {
	t.Helper()
	c.b.indices.record(c.b.peer(c.a.key), 9, c.b.now())
	if err := c.a.Send([][]byte{message(sealed.Data, 64, 9)}, ep); err != nil {
		t.Fatal(err)
	}
}

func (c *couple) must(t *testing.T) {
	t.Helper()
	select {
	case <-c.got:
	case <-time.After(5 * time.Second):
		t.Fatal("nothing arrived")
	}
}

func TestFromTheRelayToADirectPathAndBack(t *testing.T) {
	c := newCouple(t)
	ep := c.a.peer(c.b.key).viaRelay
	c.data(t, ep) // by the relay; the call to it makes both probe
	c.must(t)
	at := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), c.b.LocalPort())
	eventually.Within(t, 10*time.Second, "direct", func() bool { st, _ := c.a.Path(c.b.key); return st.Probed && st.Addr == at && !st.Relay })
	before := c.wa.sent.Load()
	c.data(t, ep)
	c.must(t)
	if n := c.wa.sent.Load() - before; n != 0 {
		t.Errorf("%d packets through the relay in spite of a direct path", n)
	}
	eventually.Within(t, 10*time.Second, "direct from the other side", func() bool { st, _ := c.b.Path(c.a.key); return st.Probed })

	c.b.Close() // a black hole that sends nothing back
	begun := time.Now()
	eventually.Within(t, 20*time.Second, "back to the relay", func() bool {
		_ = c.a.Send([][]byte{message(sealed.Data, 64, 9)}, ep)
		st, _ := c.a.Path(c.b.key)
		return st.Relay
	})
	if d := time.Since(begun); d > 10*time.Second {
		t.Errorf("the relay was used again after %v", d)
	}
}

func TestInitiationsGoThroughTheRelayToo(t *testing.T) {
	c := newCouple(t)
	c.a.SetSelf(nil)
	c.b.SetSelf(nil)
	msg := initiation(t, c.a.private, c.b.key)
	ep, _ := c.a.ParseEndpoint(c.b.key.String())
	if err := c.a.Send([][]byte{msg}, ep); err != nil {
		t.Fatal(err)
	}
	c.must(t)
	c.b.FromRelay(c.a.key, msg)
	if s := c.b.Stats(); s.Duplicates != 1 {
		t.Errorf("a second copy is not dropped: %+v", s)
	}
	c.b.FromRelay(c.a.key, initiation(t, newKey(t), c.b.key))
	if s := c.b.Stats(); s.BadInitiation != 1 {
		t.Errorf("an initiation by another key than the relay says: %+v", s)
	}
	c.b.indices.record(c.b.peer(c.a.key), 9, c.b.now())
	c.b.FromRelay(newKey(t).Public(), message(sealed.Data, 64, 9))
	if s := c.b.Stats(); s.UnknownKey != 1 {
		t.Errorf("a packet by a stranger: %+v", s)
	}
	select {
	case m := <-c.got:
		t.Errorf("WireGuard got %x", m[:8])
	case <-time.After(50 * time.Millisecond):
	}
}

func TestAFullRelayQueueDrops(t *testing.T) {
	c := newCouple(t)
	c.b.Close() // nobody reads
	c.b.indices.record(c.b.peer(c.a.key), 9, c.b.now())
	for range 100 * relayQueue { // who read may not have noticed yet
		if c.b.Stats().RelayFull == 10 {
			return
		}
		c.b.FromRelay(c.a.key, message(sealed.Data, 64, 9))
	}
	t.Errorf("%+v", c.b.Stats())
}

// attacker is a socket that sees what comes back.
type attacker struct {
	*net.UDPConn
	t      *testing.T
	before uint64 // probes that its victim had taken or dropped at the mark
}

func newAttacker(t *testing.T) *attacker {
	t.Helper()
	u, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { u.Close() })
	return &attacker{UDPConn: u, t: t}
}

func (a *attacker) send(b *Bind, packet []byte) {
	a.t.Helper()
	if _, err := a.WriteToUDPAddrPort(packet, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), b.LocalPort())); err != nil {
		a.t.Fatal(err)
	}
}

func probesSeen(b *Bind) uint64 {
	s := b.Stats()
	return s.Probes + s.ProbesForged + s.ProbesReplayed + s.ProbesLimited
}

// mark begins a flood of probes.
func (a *attacker) mark(b *Bind) { a.before = probesSeen(b) }

// await waits now and then until the victim has seen the first n probes since the mark, so
// that its socket's buffer does not overflow.
func (a *attacker) await(b *Bind, n int) {
	a.t.Helper()
	if n%50 == 0 {
		eventually.True(a.t, "probes are seen", func() bool { return probesSeen(b) >= a.before+uint64(n) })
	}
}

// answers counts the packets and bytes that came back.
func (a *attacker) answers() (n, size int) {
	buf := make([]byte, 2000)
	for {
		a.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		m, err := a.Read(buf)
		if err != nil {
			return n, size
		}
		n++
		size += m
	}
}

func TestForgedReplayedAndTooManyProbesChangeNothing(t *testing.T) {
	c := newCouple(t)
	pair, err := disco.NewPair(c.a.private, c.b.key)
	if err != nil {
		t.Fatal(err)
	}
	x := newAttacker(t)
	good := pair.Seal(disco.Message{Kind: disco.Ping, Time: 1 << 62})

	bad := append([]byte(nil), good...)
	bad[len(bad)-1] ^= 1
	for _, packet := range [][]byte{
		bad, append(append([]byte(nil), good...), make([]byte, 1500)...), good[:20], good[:8],
		pair.Seal(disco.Message{Kind: disco.CallMe, Time: 1 << 62, Addrs: []netip.AddrPort{here}}), // not through the relay
	} {
		x.send(c.b, packet)
	}
	eventually.Within(t, 10*time.Second, "five are counted", func() bool { s := c.b.Stats(); return s.ProbesForged == 2 && s.Malformed == 3 })
	if n, _ := x.answers(); n != 0 {
		t.Errorf("%d answers to forged probes", n)
	}

	for range 10 {
		x.send(c.b, good)
	}
	eventually.Within(t, 10*time.Second, "nine are counted", func() bool { return c.b.Stats().ProbesReplayed == 9 })
	n, size := x.answers()
	if n > 2 || size > 2*len(good) { // a pong, and one probe of its source
		t.Errorf("%d packets, %d bytes came back for ten of %d", n, size, len(good))
	}

	const flood = 1000
	x.mark(c.b)
	for i := range uint64(flood) {
		x.send(c.b, pair.Seal(disco.Message{Kind: disco.Ping, Time: 1<<62 + i + 1}))
		x.await(c.b, int(i))
	}
	eventually.Within(t, 10*time.Second, "most are dropped", func() bool { return c.b.Stats().ProbesLimited > flood*2/3 })
	if n, size := x.answers(); n > 350 || size > flood*len(good) {
		t.Errorf("%d packets, %d bytes came back for %d probes", n, size, flood)
	}
	if st, _ := c.b.Path(c.a.key); st.Addr.IsValid() || st.Probed {
		t.Errorf("the path is %+v", st)
	}
}

func TestNoPathThroughTheMeshItself(t *testing.T) {
	c := newCouple(t)
	inside := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	c.a.SetRefused(inside, nil)
	c.b.SetRefused(inside, nil)
	c.data(t, c.a.peer(c.b.key).viaRelay)
	eventually.True(t, "b answers a's call", func() bool { return c.wb.sent.Load() > 0 })
	if st, _ := c.a.Path(c.b.key); st.Addr.IsValid() || !st.Relay {
		t.Errorf("%+v", st)
	}
}

// stunServer answers what it gets, with the port moved by shift.
func stunServer(t *testing.T, shift uint16) netip.AddrPort {
	t.Helper()
	x := newAttacker(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 1500)
		for {
			n, from, err := x.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			if r, err := stun.ParseRequest(buf[:n]); err == nil {
				seen := netip.AddrPortFrom(from.Addr(), from.Port()+shift)
				x.WriteToUDPAddrPort(stun.Response{ID: r.ID, Mapped: seen}.Append(nil, false), from)
			}
		}
	}()
	t.Cleanup(func() { x.Close(); <-done })
	return netip.MustParseAddrPort(x.LocalAddr().String())
}

func TestSTUNShowsTheOutsideAddress(t *testing.T) {
	for name, tt := range map[string]struct {
		shift   uint16
		depends bool
	}{"one mapping": {0, false}, "one for every destination": {1, true}} {
		t.Run(name, func(t *testing.T) {
			c := newCouple(t)
			told := make(chan reflexive.Mapped, 10)
			c.a.onMapped = func(m reflexive.Mapped) { told <- m }
			c.a.SetSTUN([]netip.AddrPort{stunServer(t, 0), stunServer(t, tt.shift)})
			var got reflexive.Mapped
			for got.Answered < 2 {
				select {
				case got = <-told:
				case <-time.After(5 * time.Second):
					t.Fatal("not told")
				}
			}
			if got.Mapping.Depends() != tt.depends || !got.Mapping.Known() || got.Blocked || got.Addrs[0] != netip.MustParseAddrPort("127.0.0.1:"+strconv.Itoa(int(c.a.LocalPort()))) {
				t.Errorf("%+v", got)
			}
			if !got.Equal(c.a.Mapped()) {
				t.Errorf("told %+v, Mapped is %+v", got, c.a.Mapped())
			}
		})
	}
}

func TestSTUNAnswersNobodyAskedForAreDropped(t *testing.T) {
	c := newCouple(t)
	server := stunServer(t, 0)
	c.a.SetSTUN([]netip.AddrPort{server})
	eventually.Within(t, 10*time.Second, "an answer", func() bool { return c.a.Mapped().Answered == 1 })
	x := newAttacker(t)
	x.send(c.a, stun.Response{ID: stun.NewTxID(), Mapped: here}.Append(nil, false))
	eventually.Within(t, 10*time.Second, "dropped", func() bool { return c.a.Stats().Malformed == 1 })
	if got := c.a.Mapped(); len(got.Addrs) != 1 || got.Addrs[0] == here {
		t.Errorf("%+v", got)
	}
}

func TestIdlePeersGetNoProbes(t *testing.T) {
	c := newCouple(t)
	for range 3 {
		c.a.tick()
		c.b.tick()
	}
	if a, b := c.a.Stats().Probes, c.b.Stats().Probes; a+b != 0 || c.wa.sent.Load() != 0 {
		t.Errorf("%d and %d probes without traffic", a, b)
	}
	if !c.a.peer(c.b.key).way.paths.AtRest() || len(c.a.probes.active) != 0 {
		t.Error("an idle peer is looked after")
	}
}
