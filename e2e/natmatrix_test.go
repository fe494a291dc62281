package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"nexd/agent/localapi"
	"nexd/internal/eventually"
)

const (
	wanRouter = "192.0.2.254"

	pairsAtOnce  = 6
	promise      = time.Second      // from the first packet to a direct path, usually
	pathPatience = 10 * time.Second // the same on a machine with other load
	relayNoticed = 4 * time.Second  // until a node notices a lost relay
	gridPatience = time.Minute      // for events without a documented limit
	transferred  = 5 << 20
	enough       = 256 << 10 // bytes that show that a transfer continues
)

// natGrid is a service with relay and STUN, and two nodes at every site, behind two boxes
// of the same kind; only the nodes of the hairpin site share one box.
type natGrid struct {
	*world
	hairpin place
	places  []place
	nodes   map[string]*node // by namespace

	mu     sync.Mutex
	forgot map[string]time.Time // when the boxes of a namespace were flushed
}

// pair is two places, of which the first sends first. No two pairs are the same.
type pair struct{ from, to place }

func newNATGrid(t *testing.T, sites []site) (g *natGrid, pairs []pair) {
	t.Helper()
	g = &natGrid{world: &world{lab: newLab(t, "nft", "iperf3")}, nodes: map[string]*node{}, forgot: map[string]time.Time{}}
	g.in("wan", "sh", "-c", "ip addr add "+wanRouter+"/24 dev br0; echo 1 > /proc/sys/net/ipv4/ip_forward; echo 0 | tee /proc/sys/net/ipv4/conf/*/send_redirects > /dev/null")
	g.host("svc", "192.0.2.1/24")
	g.in("svc", "ip", "route", "add", "default", "via", wanRouter)
	for i, s := range sites {
		for side, letter := range []string{"a", "b"} {
			p := s.make(g, s.tag+"-"+letter, 2*i+side)
			p.site = s
			g.places = append(g.places, p)
		}
	}
	for i := range sites {
		for j := range i + 1 {
			side := (i + j) % 2 // everybody has about as many
			pairs = append(pairs, pair{g.places[2*i+side], g.places[2*j+1-side]})
		}
	}
	g.serveAll("192.0.2.1:8443")
	g.joinAll()
	return g, pairs
}

// door is a lock for one pair at a time.
func (p place) door() string {
	if len(p.boxes) > 0 {
		return p.boxes[0]
	}
	return p.ns
}

// iperfPort is the loopback port that leads to the iperf3 of a place.
func (g *natGrid) iperfPort(ns string) string {
	for i, p := range g.places {
		if p.ns == ns {
			return fmt.Sprint(6000 + i)
		}
	}
	return ""
}

// joinAll starts all nodes at once; each serves iperf3 to all others. They are ready when
// they know each other and their NAT, and are connected to the relay.
func (g *natGrid) joinAll() {
	g.t.Helper()
	for _, p := range g.places {
		g.start(p.ns, "iperf3 "+p.ns, nil, "iperf3", "-s", "--bind", "127.0.0.1")
		n := &node{w: g.world, ns: p.ns, state: g.ownDir("state-" + p.ns)}
		n.args = []string{bin("nexd"), "--userspace", "--proxy-listen=off", "--hostname=" + p.ns, "--reg-key-file=" + g.key, "--state-dir=" + n.state, "-R", "5201:127.0.0.1:5201"}
		for _, o := range g.places {
			if o.ns != p.ns {
				n.args = append(n.args, "-L", g.iperfPort(o.ns)+":"+o.ns+":5201")
			}
		}
		n.args = append(n.args, g.url)
		n.proc = g.start(n.ns, "nexd "+n.ns, nil, n.args...)
		g.nodes[p.ns] = n
	}
	for _, p := range g.places {
		n := g.nodes[p.ns]
		n.isReady(n.line("ready ", time.Minute))
	}
	for _, p := range g.places {
		eventually.Within(g.t, time.Minute, p.ns+" knows all, has a relay and STUN's answers", func() bool {
			s, _ := g.nodes[p.ns].local().Status(context.Background())
			return len(s.Peers) == len(g.places)-1 && s.Relay != nil && s.Relay.Connected && s.Outside != nil && s.Outside.Depends == p.hard
		})
	}
}

// walk tests the pairs, several at once but each box only once at a time. It starts with
// the pairs whose box has the most tests left.
func walk(pairs []pair, visit func(pair)) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	free := sync.NewCond(&mu)
	left, busy, running := append([]pair{}, pairs...), map[string]bool{}, 0
	mu.Lock()
	defer mu.Unlock()
	for len(left) > 0 {
		ahead := map[string]int{}
		for _, p := range left {
			ahead[p.from.door()]++
			ahead[p.to.door()]++
		}
		next, most := -1, 0
		for i, p := range left {
			if n := max(ahead[p.from.door()], ahead[p.to.door()]); !busy[p.from.door()] && !busy[p.to.door()] && n > most {
				next, most = i, n
			}
		}
		if next < 0 || running == pairsAtOnce {
			free.Wait()
			continue
		}
		p := left[next]
		left = append(left[:next], left[next+1:]...)
		busy[p.from.door()], busy[p.to.door()] = true, true
		running++
		wg.Go(func() {
			visit(p)
			mu.Lock()
			defer mu.Unlock()
			delete(busy, p.from.door())
			delete(busy, p.to.door())
			running--
			free.Signal()
		})
	}
	for running > 0 {
		free.Wait()
	}
}

// cross tests a pair.
func (g *natGrid) cross(p pair) *crossing {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	c := &crossing{pair: p}
	meets := p.from.meets(p.to.site)
	for _, end := range []place{p.from, p.to} { // whose last NAT may have lost the relay, too
		if err := g.atRest(ctx, end); err != nil {
			c.errorf("%v", err)
			return c
		}
	}
	g.firstPackets(ctx, c)
	switch {
	case c.answered == 0:
		c.errorf("no answer within %v", pathPatience)
		return c
	case meets && c.direct == 0:
		c.errorf("not direct within %v", pathPatience)
	}
	g.transfer(ctx, c)
	g.inTheEnd(ctx, c, p.from, p.to)
	g.inTheEnd(ctx, c, p.to, p.from)
	return c
}

// firstPackets sends until the path is direct, or for a second if it cannot be.
func (g *natGrid) firstPackets(ctx context.Context, c *crossing) {
	from, to := g.nodes[c.from.ns], g.nodes[c.to.ns]
	begun := time.Now()
	eventually.Soon(pathPatience, func() bool {
		reply, err := from.local().Ping(ctx, localapi.PingRequest{Target: to.name4, Timeout: time.Second})
		took := time.Since(begun)
		if err != nil {
			return false
		}
		if c.answered == 0 {
			c.answered = took
		}
		if strings.HasPrefix(reply.Path, "direct ") {
			c.direct = took
			return true
		}
		return !c.from.meets(c.to.site) && took > c.answered+time.Second
	})
}

// transfer has the first receive from the second, and flushes all NATs between them.
func (g *natGrid) transfer(ctx context.Context, c *crossing) {
	var out *strings.Builder
	var ended chan error
	var before uint64
	begins := false
	eventually.Soon(gridPatience, func() bool { // its server takes a client that is slow to speak for a broken one
		before = g.received(ctx, c)
		out, ended = g.iperf3(ctx, c.pair)
		_, begins = g.moreThan(ctx, c, before+enough, ended)
		return begins || len(ended) == 0
	})
	if !begins {
		c.errorf("iperf3 does not begin")
		return
	}
	for _, end := range []place{c.from, c.to} {
		for _, box := range end.boxes {
			if err := g.forget(box); err != nil {
				c.errorf("%s does not forget: %v", box, err)
			}
		}
		g.mu.Lock()
		g.forgot[end.ns] = time.Now()
		g.mu.Unlock()
	}
	at := g.received(ctx, c)
	back, ok := g.moreThan(ctx, c, at+enough, ended)
	if c.back = back; !ok || at > before+transferred/2 {
		c.errorf("no data within %v of the NATs' flush: %d bytes before, %d after", gridPatience, at-before, g.received(ctx, c)-at)
	}
	err := <-ended
	var report struct {
		Error string
		End   struct {
			Received struct {
				Bytes float64
				Rate  float64 `json:"bits_per_second"`
			} `json:"sum_received"`
		}
	}
	if jerr := json.Unmarshal([]byte(out.String()), &report); err != nil || jerr != nil || report.End.Received.Bytes < transferred/2 {
		c.errorf("iperf3: %v, %v, %s %+v", err, jerr, report.Error, report.End.Received)
	}
	c.mbits = report.End.Received.Rate / 1e6
}

// iperf3 starts a transfer; its output is complete when ended has its result.
func (g *natGrid) iperf3(ctx context.Context, p pair) (out *strings.Builder, ended chan error) {
	args := g.inside(p.from.ns, unprivileged([]string{"iperf3", "-c", "127.0.0.1", "-p", g.iperfPort(p.to.ns), "--reverse", "--bitrate", "20M", "--bytes", fmt.Sprint(transferred), "--json"}))
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	out, ended = &strings.Builder{}, make(chan error, 1)
	cmd.Stdout, cmd.WaitDelay = out, time.Second
	go func() { ended <- cmd.Run() }()
	return out, ended
}

// received returns the number of bytes that the first received from the second.
func (g *natGrid) received(ctx context.Context, c *crossing) uint64 {
	p, _ := g.nodes[c.from.ns].peer(ctx, c.to.ns)
	return p.RxBytes
}

// moreThan waits until so much was received, or the transfer has ended.
func (g *natGrid) moreThan(ctx context.Context, c *crossing, bytes uint64, ended <-chan error) (time.Duration, bool) {
	over, enough := false, false
	took, _ := eventually.Soon(gridPatience, func() bool {
		last := over || ctx.Err() != nil
		over = len(ended) > 0 // look once more
		enough = g.received(ctx, c) >= bytes
		return enough || last
	})
	return took, enough
}

// inTheEnd checks that the path between the two is as expected again.
func (g *natGrid) inTheEnd(ctx context.Context, c *crossing, from, to place) {
	n := g.nodes[from.ns]
	var way localapi.Peer
	if _, ok := eventually.Soon(gridPatience, func() bool {
		n.local().Ping(ctx, localapi.PingRequest{Target: g.nodes[to.ns].name4, Timeout: time.Second})
		way, _ = n.peer(ctx, to.ns)
		if from.meets(to.site) {
			at, err := netip.ParseAddrPort(way.Endpoint)
			return err == nil && way.Path == "direct" && at.Addr() == to.at
		}
		return way.Path == "relay" && way.Why != ""
	}); !ok {
		c.errorf("in the end %s sees %s at %+v", from.ns, to.ns, way)
	}
}

// atRest waits until a node is connected to the relay, and has noticed whether the last
// flush broke that connection: a NAT that assigns another port breaks TCP.
func (g *natGrid) atRest(ctx context.Context, p place) error {
	ctx, cancel := context.WithTimeout(ctx, gridPatience)
	defer cancel()
	g.mu.Lock()
	flushed := g.forgot[p.ns]
	g.mu.Unlock()
	for {
		s, err := g.nodes[p.ns].local().Status(ctx)
		if err == nil && s.Relay != nil && s.Relay.Connected && (!p.hard || time.Since(flushed) > relayNoticed) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s has no relay: %+v, %v", p.ns, s.Relay, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// peer is what the node knows of another.
func (n *node) peer(ctx context.Context, name string) (localapi.Peer, error) {
	s, err := n.local().Status(ctx)
	for _, p := range s.Peers {
		if p.Name == name {
			return p, nil
		}
	}
	return localapi.Peer{}, fmt.Errorf("%s does not know %s: %w", n.ns, name, err)
}

// TestNATMatrix connects every pair of kinds of NAT, transfers data with iperf3, and empties
// the NAT tables during the transfer.
func TestNATMatrix(t *testing.T) {
	t.Parallel()
	begun := time.Now()
	g, pairs := newNATGrid(t, natSites)
	made := time.Since(begun)
	var mu sync.Mutex
	seen := map[string]*crossing{}
	walk(pairs, func(p pair) {
		c := g.cross(p)
		mu.Lock()
		defer mu.Unlock()
		seen[p.String()] = c
	})
	for _, p := range pairs {
		t.Run(p.String(), func(t *testing.T) {
			c := seen[p.String()]
			t.Log(c)
			for _, w := range c.wrong {
				t.Error(w)
			}
		})
	}
	t.Logf("%d nodes in %v, %d pairs in %v\n%s", len(g.places), made.Round(time.Second/10), len(pairs), (time.Since(begun) - made).Round(time.Second/10), table(t, pairs, seen))
}

func (p pair) String() string { return p.from.name + " and " + p.to.name }
