package relayserver_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"nexd/internal/bucket"
	"nexd/internal/eventually"
	"nexd/internal/stun"
	"nexd/relay"
	"nexd/service/relayserver"
	service "nexd/service/stun"
)

// hop is a UDP hop in front of the relay for one node. It can lose all packets, or large ones, and
// records what the node sent.
type hop struct {
	in, out *net.UDPConn

	mu   sync.Mutex
	node netip.AddrPort
	lose bool
	most int  // bytes; 0 = any
	mute bool // nothing comes back to the node
	kept int  // datagrams that did not, therefore
	sent [][]byte
}

func listenUDP(t testing.TB) *net.UDPConn {
	t.Helper()
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newHop(t *testing.T, to string) *hop {
	t.Helper()
	h := &hop{in: listenUDP(t)}
	c, err := net.Dial("udp", to)
	if err != nil {
		t.Fatal(err)
	}
	h.out = c.(*net.UDPConn)
	var tasks sync.WaitGroup
	tasks.Go(func() { h.carry(func() *net.UDPConn { return h.in }, true) })
	tasks.Go(func() { h.carry(h.outer, false) })
	t.Cleanup(func() { h.in.Close(); h.outer().Close(); tasks.Wait() })
	return h
}

func (h *hop) outer() *net.UDPConn { h.mu.Lock(); defer h.mu.Unlock(); return h.out }

func (h *hop) carry(socket func() *net.UDPConn, up bool) {
	buf := make([]byte, 20000)
	for c := socket(); ; {
		n, from, err := c.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			if c == socket() {
				return
			}
			c = socket()
			continue
		}
		h.mu.Lock()
		if up {
			h.node = from
			h.sent = append(h.sent, append([]byte(nil), buf[:n]...))
		}
		node, out, drop := h.node, h.out, err != nil || h.lose || h.most > 0 && n > h.most
		if !up && h.mute {
			h.kept++
			drop = true
		}
		h.mu.Unlock()
		switch {
		case drop:
		case up:
			out.Write(buf[:n])
		default:
			h.in.WriteToUDPAddrPort(buf[:n], node)
		}
	}
}

// rebind makes the hop's packets come from another port.
func (h *hop) rebind(t testing.TB) {
	t.Helper()
	c, err := net.Dial("udp", h.outer().RemoteAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	h.mu.Lock()
	old := h.out
	h.out = c.(*net.UDPConn)
	h.mu.Unlock()
	old.Close()
}

func (h *hop) set(lose bool, most int) { h.mu.Lock(); defer h.mu.Unlock(); h.lose, h.most = lose, most }

// withUDP gives the relay a UDP socket, which also answers STUN.
func (w *world) withUDP() (at string) { return w.serveUDP(listenUDP(w.t)) }

func (w *world) serveUDP(conn *net.UDPConn) (at string) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	answers := service.New(service.Config{})
	other := func(b, packet []byte, from netip.AddrPort, _ netip.Addr) []byte {
		return answers.Answer(b, packet, from)
	}
	go func() { done <- w.srv.ServeUDP(ctx, conn, other) }()
	w.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("ServeUDP: %v", err)
		}
	})
	w.udp = conn.LocalAddr().String()
	return w.udp
}

// pump sends packets until stop is called; last returns when one last arrived.
func pump(a, b *member) (last func() time.Time, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var tasks sync.WaitGroup
	var mu sync.Mutex
	at := time.Now()
	tasks.Go(func() {
		pace := time.NewTicker(5 * time.Millisecond)
		defer pace.Stop()
		for i := 0; ctx.Err() == nil; i++ {
			a.client.Send(b.key.Public(), data(i, 1456-16))
			<-pace.C
		}
	})
	tasks.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-b.got:
				mu.Lock()
				at = time.Now()
				mu.Unlock()
			}
		}
	})
	return func() time.Time { mu.Lock(); defer mu.Unlock(); return at }, func() { cancel(); tasks.Wait() }
}

// viaUDP waits until data takes datagrams on the whole path.
func (w *world) viaUDP(b *member) {
	w.t.Helper()
	before, in := w.srv.Stats().Datagrams, b.client.Stats().Datagrams
	eventually.Within(w.t, 10*time.Second, "datagrams flow", func() bool {
		return w.srv.Stats().Datagrams > before+100 && b.client.Stats().Datagrams > in+100
	})
}

// After a rest, a node that only receives has to make its relay trust UDP again.
func TestDataGoesByUDPAfterARest(t *testing.T) {
	w := newWorld(t)
	w.withUDP()
	a, b := w.member("lab"), w.member("lab")
	time.Sleep(relay.UDPTrust + 500*time.Millisecond) // the rest itself: the trust of the start has to end
	_, stop := pump(a, b)
	defer stop()
	w.viaUDP(b)
}

func TestDataGoesByUDPWhereItPasses(t *testing.T) {
	w := newWorld(t)
	at := w.withUDP()
	a, b := w.member("lab"), w.member("lab")
	_, stop := pump(a, b)
	defer stop()
	w.viaUDP(b)
	c, err := net.Dial("udp", at) // the same port answers STUN
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.Write(stun.AppendRequest(nil, stun.NewTxID()))
	c.SetReadDeadline(time.Now().Add(5 * time.Second))
	buf := make([]byte, 100)
	n, err := c.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := stun.ParseResponse(buf[:n]); err != nil || r.Mapped.String() != c.LocalAddr().String() {
		t.Errorf("%+v, %v", r, err)
	}
}

// A service with several addresses sends from the one that the node asked: pongs, data and runs. The
// hop is connected, so it takes nothing from any other.
func TestAnswersLeaveFromTheAddressThatWasAsked(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux reports the address")
	}
	for _, network := range []string{"udp4", "udp"} {
		t.Run(network, func(t *testing.T) {
			conn, err := net.ListenUDP(network, nil)
			if err != nil {
				t.Fatal(err)
			}
			w := newWorld(t)
			w.serveUDP(conn)
			port := strconv.Itoa(conn.LocalAddr().(*net.UDPAddr).Port)
			w.udp = newHop(t, "127.0.0.2:"+port).in.LocalAddr().String()
			a := w.member("lab")
			w.udp = newHop(t, "127.0.0.3:"+port).in.LocalAddr().String()
			b := w.member("lab")
			_, stop := pump(a, b)
			defer stop()
			w.viaUDP(b)
		})
	}
}

func TestBlockedUDPIsLeftWithinTwoSecondsAndFoundAgain(t *testing.T) {
	w := newWorld(t)
	h := newHop(t, w.withUDP())
	w.udp = h.in.LocalAddr().String()
	a := w.member("lab")
	w.udp = ""
	b := w.member("lab")
	last, stop := pump(a, b)
	defer stop()
	back := func() {
		t.Helper()
		before := w.srv.Stats().Datagrams
		eventually.Within(t, 10*time.Second, "datagrams flow", func() bool { return w.srv.Stats().Datagrams > before+200 })
	}
	back()
	for name, block := range map[string]func(){"everything is lost": func() { h.set(true, 0) }, "large ones are lost": func() { h.set(false, 1400) }} {
		block()
		began := time.Now()
		// Packets that arrive within 300 ms may have been under way before.
		eventually.Within(t, 5*time.Second, name+": data comes", func() bool { return last().After(began.Add(300 * time.Millisecond)) })
		t.Logf("%s: %v without a packet", name, last().Sub(began).Round(time.Millisecond))
		if took := last().Sub(began); took > 2500*time.Millisecond {
			t.Errorf("%s: %v without a packet", name, took)
		}
		h.set(false, 0)
		back()
	}
}

func TestForgedAndRepeatedDatagramsAreDropped(t *testing.T) {
	w := newWorld(t)
	at := w.withUDP()
	h := newHop(t, at)
	w.udp = h.in.LocalAddr().String()
	a := w.member("lab")
	w.udp = at
	b := w.member("lab")
	_, stop := pump(a, b)
	defer stop()
	w.viaUDP(b)
	h.mu.Lock()
	sent := h.sent[len(h.sent)-50:]
	h.mu.Unlock()
	evil, err := net.Dial("udp", at)
	if err != nil {
		t.Fatal(err)
	}
	defer evil.Close()
	before := w.srv.Stats()
	for i, d := range sent {
		evil.Write(d)                                    // repeated
		evil.Write(append([]byte(nil), d[:len(d)-1]...)) // cut
		forged := append([]byte(nil), d...)
		forged[17] ^= 0x80 // a counter far ahead
		evil.Write(forged)
		stranger := append([]byte(nil), d...)
		stranger[13] ^= byte(i + 1) // another session
		evil.Write(stranger)
	}
	eventually.Within(t, 5*time.Second, "they are counted", func() bool { return badDatagrams(w.srv.Stats()) >= badDatagrams(before)+200 })
	if st := w.srv.Stats(); st.Repeated-before.Repeated < 50 || st.Forged-before.Forged < 100 || st.NoSession-before.NoSession < 50 {
		t.Errorf("counted as something else: %+v", st)
	}
	evil.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	if n, err := evil.Read(make([]byte, 100)); err == nil {
		t.Errorf("%d bytes in answer", n)
	}
	in := a.client.Stats().Datagrams // its address was not moved: pongs still come
	eventually.Within(t, 5*time.Second, "the node still gets its datagrams", func() bool { return a.client.Stats().Datagrams > in+1 })
	if st := b.client.Stats(); st.Refused != 0 {
		t.Errorf("client: %+v", st)
	}
}

func TestWithoutUDPEverythingWorks(t *testing.T) {
	w := newWorld(t)
	nobody := listenUDP(t)
	w.udp = nobody.LocalAddr().String()
	nobody.Close()
	a, b := w.member("lab"), w.member("lab")
	a.client.Send(b.key.Public(), data(1, 64))
	b.next()
}

// Runs are forwarded as runs. Nothing is lost or changed as long as no more is under way than the
// sockets hold.
func TestRunsArriveWhole(t *testing.T) {
	w := newWorld(t)
	w.withUDP()
	a, b := w.member("lab"), w.member("lab")
	_, stop := pump(a, b)
	w.viaUDP(b)
	stop()
	for quiet := false; !quiet; { // what is under way
		select {
		case <-b.got:
		case <-time.After(500 * time.Millisecond):
			quiet = true
		}
	}
	before := w.srv.Stats()
	const runs, each = 50, 20
	for i := range runs {
		var packets [][]byte
		for j := range each {
			packets = append(packets, data(i*each+j, 1452))
		}
		packets = append(packets, data(1_000_000+i, 96)) // as a run ends
		if err := a.client.Send(b.key.Public(), packets...); err != nil {
			t.Fatal(err)
		}
		want := map[string]bool{}
		for _, p := range packets {
			want[string(p)] = true
		}
		for range packets {
			g := b.next()
			if g.from != a.key.Public() || !want[g.packet] {
				t.Fatalf("run %d: %d bytes from %v that nobody sent", i, len(g.packet), g.from)
			}
			delete(want, g.packet)
		}
	}
	after := w.srv.Stats()
	if n := after.Packets - before.Packets; n != runs*(each+1) || badDatagrams(after) != 0 || after.Dropped != 0 {
		t.Errorf("%d packets counted; %+v", n, after)
	}
}

// pumpedThroughHop returns a member b behind a hop, to which packets are sent in datagrams until
// the test ends. last returns when one last arrived.
func pumpedThroughHop(t *testing.T) (w *world, b *member, h *hop, last func() time.Time) {
	t.Helper()
	w = newWorld(t)
	h = newHop(t, w.withUDP())
	a := w.member("lab")
	w.udp = h.in.LocalAddr().String()
	b = w.member("lab")
	last, stop := pump(a, b)
	t.Cleanup(stop)
	w.viaUDP(b)
	return w, b, h, last
}

// Only pongs, which are as long as their pings, go to an address to which no pong is known to have
// arrived: anybody could forge the source.
func TestDatagramsGoOnlyWhereTheyArrive(t *testing.T) {
	_, _, h, last := pumpedThroughHop(t)
	h.mu.Lock()
	h.mute = true
	h.mu.Unlock()
	h.rebind(t) // whoever this is, b says that it hears the relay
	kept := func() int { h.mu.Lock(); defer h.mu.Unlock(); return h.kept }
	eventually.Stays(t, 1500*time.Millisecond, "few of some 300 datagrams go to an address that has proved nothing", func() bool { return kept() <= 20 })
	if kept() == 0 {
		t.Error("none went there at all")
	}
	if silent := time.Since(last()); silent > time.Second {
		t.Errorf("nothing came by the WebSocket for %v", silent)
	}
}

// A NAT assigns another address to the node. The relay uses it once the node has received a pong
// there.
func TestANodeThatComesFromElsewhereIsFollowed(t *testing.T) {
	w, b, h, last := pumpedThroughHop(t)
	h.rebind(t)
	b.client.Probe()
	began := time.Now()
	w.viaUDP(b)
	t.Logf("datagrams again after %v, last packet %v ago", time.Since(began).Round(time.Millisecond), time.Since(last()).Round(time.Millisecond))
}

// The socket is not bound to an address, so that no network change leaves it with a stale one.
// Probe checks at once whether datagrams still pass.
func TestProbeAsksWhetherDatagramsPass(t *testing.T) {
	w := newWorld(t)
	h := newHop(t, w.withUDP())
	w.udp = h.in.LocalAddr().String()
	a := w.member("lab")
	eventually.Within(t, 30*time.Second, "UDP passes", a.client.Datagrams)
	h.set(true, 0)
	eventually.Within(t, 30*time.Second, "datagrams are no longer trusted after a change of network", func() bool { // a pong may be under way still
		a.client.Probe()
		return !a.client.Datagrams()
	})
	h.set(false, 0)
	a.client.Probe()
	eventually.Within(t, 30*time.Second, "UDP is tried again", a.client.Datagrams)
}

// Under load, pings are answered and the datagrams stay in use.
func TestPongsComeWhileDataFlows(t *testing.T) {
	w := newWorld(t)
	w.withUDP()
	a, b := w.member("lab"), w.member("lab")
	eventually.Within(t, 30*time.Second, "UDP passes", a.client.Datagrams)
	var packets [][]byte
	for i := range 32 {
		packets = append(packets, data(i, 1452))
	}
	pace := time.NewTicker(2 * time.Millisecond)
	defer pace.Stop()
	for end := time.Now().Add(2*relay.UDPTrust + time.Second); time.Now().Before(end); {
		a.client.Send(b.key.Public(), packets...)
		<-pace.C
	}
	if !a.client.Datagrams() {
		t.Errorf("datagrams are not believed in any more: %+v, %+v", a.client.Stats(), w.srv.Stats())
	}
}

func TestARunBeyondTheBudgetIsCutShort(t *testing.T) {
	w := newWorld(t, func(c *relayserver.Config) { c.NodeRate = bucket.Rate{PerSecond: 1, Burst: 500_000} })
	w.withUDP()
	a, b := w.member("lab"), w.member("lab")
	eventually.Within(t, 30*time.Second, "UDP passes", func() bool { return a.client.Datagrams() && b.client.Datagrams() })
	var packets [][]byte
	for i := range 40 {
		packets = append(packets, data(i, 1440))
	}
	eventually.Within(t, 30*time.Second, "packets are over budget", func() bool {
		a.client.Send(b.key.Public(), packets...)
		return w.srv.Stats().OverBudget > 100
	})
	if st := w.srv.Stats(); st.Bytes > 500_000+1440 || st.Bytes < 490_000 {
		t.Errorf("%+v", st)
	}
}

// While data moves, the node's pings come in twos. Each pair gets two pongs at most.
func TestPingsComeInRunsWhileDataDoes(t *testing.T) {
	w := newWorld(t)
	h := newHop(t, w.withUDP())
	w.udp = h.in.LocalAddr().String()
	a := w.member("lab")
	w.udp = ""
	b := w.member("lab")
	_, stop := pump(a, b)
	defer stop()
	const ping = 1472 // bytes of its datagram
	eventually.Within(t, 30*time.Second, "two pings in a row", func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		for i := range h.sent {
			if i > 0 && len(h.sent[i]) == ping && len(h.sent[i-1]) == ping {
				return true
			}
		}
		return false
	})
	eventually.Within(t, 30*time.Second, "UDP passes", a.client.Datagrams)
}
