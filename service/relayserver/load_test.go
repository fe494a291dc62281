package relayserver_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"sync"
	"testing"
	"time"

	"nexd/internal/eventually"
	"nexd/mesh"
	"nexd/relay"
	"nexd/service/relayserver"
)

// heap returns the memory in use after a garbage collection.
func heap() float64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc+m.StackInuse) / (1 << 20)
}

// Bounds for the growth of the heap: for each connected node, including its client and the TLS of
// both sides, and in total for a node that does not read.
const (
	mostPerNode = 160 // KiB
	mostMore    = 8   // MiB
)

// The measured memory includes both sides: relay, clients and their TLS are in this process.
func TestThousandNodesAndOneThatNeverReads(t *testing.T) {
	nodes := 1000
	if testing.Short() {
		nodes = 100
	}
	w := newWorld(t, func(c *relayserver.Config) { c.StuckTime, c.Silence = 3*time.Second, time.Hour })
	httpc := trusting(t)
	before := heap()
	members := make([]*raw, nodes)
	keys := make([]mesh.PrivateKey, nodes)
	slots := make(chan struct{}, 16)
	var tasks sync.WaitGroup
	for i := range members {
		keys[i] = newKey(t)
		slots <- struct{}{}
		tasks.Go(func() {
			defer func() { <-slots }()
			members[i] = w.rawVia(httpc)
			members[i].auth(keys[i], keys[i].Public(), w.token("lab", keys[i].Public(), time.Hour).Text)
			members[i].next()
		})
	}
	tasks.Wait()
	if st := w.srv.Stats(); st.Nodes != nodes {
		t.Fatalf("%d nodes connected", st.Nodes)
	}
	connected := heap()
	stuck, sender := keys[0].Public(), members[1]
	most := int64(0)
	for i := 0; i < 40_000; i++ { // 56 MB to a node that reads nothing
		sender.send(relay.AppendData(nil, stuck, data(i, 1408)))
		most = max(most, w.srv.Stats().Queued)
	}
	st := w.srv.Stats()
	t.Logf("%d nodes: %.0f MiB for both sides, %.1f KiB each; then 56 MB to one that never reads: queue at most %d KiB, %.1f MiB more in all, %d frames dropped",
		nodes, connected-before, (connected-before)*1024/float64(nodes), most>>10, heap()-connected, st.Dropped)
	if each := (connected - before) * 1024 / float64(nodes); each > mostPerNode {
		t.Errorf("a connected node costs %.1f KiB on both sides", each)
	}
	if more := heap() - connected; more > mostMore {
		t.Errorf("a node that never reads costs %.1f MiB", more)
	}
	if most > 640<<10 {
		t.Errorf("%d bytes queued for one node", most)
	}
	if st.Dropped == 0 && st.Nodes == nodes {
		t.Error("nothing was dropped")
	}
	sender.send(relay.AppendData(nil, keys[2].Public(), data(7, 64))) // others are served meanwhile
	if ty, body := members[2].next(); ty != relay.TypeData || string(body[32:]) != string(data(7, 64)) {
		t.Errorf("another node got frame %d", ty)
	}
	eventually.Shown(t, 15*time.Second, func() string { return fmt.Sprintf("the slow node is cut off: %+v", w.srv.Stats()) }, func() bool {
		st := w.srv.Stats()
		return st.Cut == 1 && st.Queued == 0 && st.Nodes == nodes-1
	})
}

// pipe is a TCP hop in front of the relay that can be made to lose everything.
type pipe struct {
	ln net.Listener
	to string

	mu    sync.Mutex
	hole  bool
	conns []net.Conn
}

func newPipe(t *testing.T, to string) *pipe {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &pipe{ln: ln, to: to}
	var tasks sync.WaitGroup
	tasks.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			tasks.Go(func() { p.carry(c) })
		}
	})
	t.Cleanup(func() { ln.Close(); p.cut(); tasks.Wait() })
	return p
}

func (p *pipe) carry(c net.Conn) {
	d, err := net.Dial("tcp", p.to)
	if err != nil {
		c.Close()
		return
	}
	p.mu.Lock()
	p.conns = append(p.conns, c, d)
	p.mu.Unlock()
	var both sync.WaitGroup
	defer both.Wait()
	half := func(to, from net.Conn) {
		defer to.Close()
		buf := make([]byte, 32<<10)
		for {
			n, err := from.Read(buf)
			if err != nil {
				return
			}
			p.mu.Lock()
			hole := p.hole
			p.mu.Unlock()
			if !hole {
				to.Write(buf[:n])
			}
		}
	}
	both.Go(func() { half(c, d) })
	both.Go(func() { half(d, c) })
}

func (p *pipe) swallow(on bool) { p.mu.Lock(); defer p.mu.Unlock(); p.hole = on }

func (p *pipe) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.Close()
	}
	p.conns = nil
}

func TestDeadRelayIsLeftAndFoundAgain(t *testing.T) {
	w := newWorld(t)
	p := newPipe(t, w.http.Listener.Addr().String())
	m := w.member("lab", func(c *relay.Config) { c.URL = "https://" + p.ln.Addr().String() + "/v1/relay" }) // with the waits that nexd has
	began := time.Now()
	p.swallow(true)
	m.wait(false)
	left := time.Since(began)
	p.swallow(false)
	m.wait(true)
	t.Logf("left after %v, back after %v", left.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
	if time.Since(began) > 10*time.Second {
		t.Error("that took more than 10 s")
	}
}

func TestKilledRelayIsFoundAgain(t *testing.T) {
	w := newWorld(t)
	p := newPipe(t, w.http.Listener.Addr().String())
	changes := make(chan bool, 10)
	m := w.member("lab", func(c *relay.Config) {
		c.URL = "https://" + p.ln.Addr().String() + "/v1/relay"
		c.Changed = func(on bool) { changes <- on }
	})
	began := time.Now()
	p.cut()
	for _, want := range []bool{true, false, true} {
		if got := <-changes; got != want {
			t.Fatalf("told %v instead of %v", got, want)
		}
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("back after %v", took)
	}
	if st := m.client.Stats(); st.Connects != 2 {
		t.Errorf("stats %+v", st)
	}
}

func TestProbeFindsADeadConnectionAtOnce(t *testing.T) {
	w := newWorld(t)
	p := newPipe(t, w.http.Listener.Addr().String())
	m := w.member("lab", func(c *relay.Config) {
		c.URL = "https://" + p.ln.Addr().String() + "/v1/relay"
		c.PingEvery, c.PingTimeout, c.DialTimeout = time.Hour, 200*time.Millisecond, 200*time.Millisecond
	})
	eventually.Within(t, 5*time.Second, "a round trip is measured", func() bool { _, _, rtt := m.client.Connected(); return rtt > 0 })
	p.swallow(true)
	m.client.Probe()
	m.wait(false)
	p.swallow(false)
	m.client.Probe()
	m.wait(true)
}

func TestWorksThroughAnHTTPProxy(t *testing.T) {
	w := newWorld(t)
	asked := make(chan string, 10)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	proxy := &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		asked <- r.Method + " " + r.Host
		up, err := net.Dial("tcp", r.Host)
		if err != nil || r.Method != http.MethodConnect {
			http.Error(rw, "no", http.StatusBadGateway)
			return
		}
		rw.WriteHeader(http.StatusOK)
		down, _, err := rw.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		go func() { defer down.Close(); io.Copy(down, up) }()
		go func() { defer up.Close(); io.Copy(up, down) }()
	})}
	done := make(chan struct{})
	go func() { defer close(done); proxy.Serve(ln) }()
	t.Cleanup(func() { proxy.Close(); <-done })
	via := func(c *relay.Config) {
		tr := trusting(t)
		tr.Transport.(*http.Transport).Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: ln.Addr().String()})
		c.HTTP = tr
	}
	a, b := w.member("lab", via), w.member("lab")
	a.client.Send(b.key.Public(), data(1, 64))
	b.next()
	if got := <-asked; got != "CONNECT "+w.http.Listener.Addr().String() {
		t.Errorf("the proxy was asked %q", got)
	}
}

func TestSendNeverBlocks(t *testing.T) {
	w := newWorld(t)
	p := newPipe(t, w.http.Listener.Addr().String())
	m := w.member("lab", func(c *relay.Config) { c.URL = "https://" + p.ln.Addr().String() + "/v1/relay" })
	p.swallow(true)
	to, packet := newKey(t).Public(), data(1, 1408)
	began := time.Now()
	for range 20_000 {
		m.client.Send(to, packet)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("20,000 packets took %v", took)
	}
}

func TestClientNeedsATokenAndAWorkingRelay(t *testing.T) {
	w := newWorld(t)
	fails := 0
	m := w.start1("lab", newKey(t), func(c *relay.Config) {
		ask := c.Token
		c.WaitMost = 20 * time.Millisecond
		c.Token = func(ctx context.Context) (relay.Token, error) {
			if fails++; fails == 1 {
				return relay.Token{}, mesh.Errorf(mesh.Unavailable, "service is away")
			}
			if fails == 2 {
				return relay.Token{}, nil // a service without a relay
			}
			return ask(ctx)
		}
	})
	m.wait(true)
	if _, err := relay.New(relay.Config{}); mesh.KindOf(err) != mesh.Invalid {
		t.Errorf("a client of nothing: %v", err)
	}
	if _, err := relayserver.New(relayserver.Config{}); mesh.KindOf(err) != mesh.Invalid {
		t.Errorf("a relay without a key: %v", err)
	}
}
