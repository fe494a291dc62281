package service_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"nexd/control"
	"nexd/internal/eventually"
	"nexd/mesh"
	"nexd/service"
	"nexd/service/store"
)

func advertises(name, prefix string) func(*mesh.NetworkMap) bool {
	return func(m *mesh.NetworkMap) bool {
		n, _ := nodeNamed(m, name)
		return slices.Contains(n.Prefixes, netip.MustParsePrefix(prefix))
	}
}

func TestWatchSeesEveryChange(t *testing.T) {
	w := newWorld(t)
	r := w.start()
	a, b := r.node(t), r.node(t)
	a.mustRegister(w.boot.KeySecret, "a")
	seen := a.watch(nil)
	m := seen.until("itself", func(m *mesh.NetworkMap) bool { return m.Self.Name == "a" && m.Self.Online })
	if len(m.Pools) != 2 || m.Epoch == "" || len(m.Peers) != 0 || m.Organization != "default" {
		t.Errorf("map = %+v", m)
	}
	b.mustRegister(w.boot.KeySecret, "b", "172.24.0.0/24")
	seen.until("b", hasPeer("b"))
	seen.until("b's prefix", advertises("b", "172.24.0.0/24"))
	if _, err := b.advertise("172.25.0.0/24"); err != nil {
		t.Fatal(err)
	}
	seen.until("b's other prefix", advertises("b", "172.25.0.0/24"))
	if _, err := r.store.RemoveNode(t.Context(), w.boot.Organization.ID, "b"); err != nil {
		t.Fatal(err)
	}
	seen.until("no b", func(m *mesh.NetworkMap) bool { return len(m.Peers) == 0 })
	seen.mu.Lock()
	defer seen.mu.Unlock()
	if !slices.IsSorted(seen.revs) || len(slices.Compact(slices.Clone(seen.revs))) != len(seen.revs) {
		t.Errorf("revisions do not rise: %v", seen.revs)
	}
}

func TestWatchGoesOnFromTheMapAtHand(t *testing.T) {
	w := newWorld(t)
	r := w.start()
	a := r.node(t)
	a.mustRegister(w.boot.KeySecret, "a")
	first := a.watch(nil)
	m := first.until("a map", func(m *mesh.NetworkMap) bool { return len(m.Self.Endpoints) > 0 })
	first.stop()
	if err := first.ended(); err != nil {
		t.Errorf("stopped watch: %v", err)
	}
	second := a.watch(m)
	second.until("online", func(m *mesh.NetworkMap) bool { return m.Self.Online })
	eventually.True(t, "two events are seen", func() bool { return len(second.seen()) >= 2 })
	if got := second.seen(); !slices.Equal(got[:2], []control.EventType{control.EventUnchanged, control.EventLive}) {
		t.Errorf("events = %v", got)
	}
	second.stop()
	second.ended()
	m.Rev-- // an older one
	third := a.watch(m)
	third.until("the newer map", func(n *mesh.NetworkMap) bool { return n.Rev > m.Rev })
	third.stop()
	third.ended()
	if _, err := r.store.RenewEpoch(t.Context()); err != nil { // restored from a backup
		t.Fatal(err)
	}
	m.Rev += 100
	a.watch(m).until("the map of the new epoch", func(n *mesh.NetworkMap) bool { return n.Epoch != m.Epoch })
}

func TestPresence(t *testing.T) {
	w := newWorld(t)
	r := w.start()
	a, b := r.node(t), r.node(t)
	a.mustRegister(w.boot.KeySecret, "a")
	b.mustRegister(w.boot.KeySecret, "b")
	seen := a.watch(nil)
	online := func(want bool) func(*mesh.NetworkMap) bool {
		return func(m *mesh.NetworkMap) bool { n, ok := nodeNamed(m, "b"); return ok && n.Online == want }
	}
	for range 3 { // flapping
		bw := b.watch(nil)
		m := seen.until("b online", online(true))
		bw.stop()
		bw.ended()
		n := seen.until("b offline", online(false))
		if n.Version != m.Version {
			t.Errorf("presence moved the map from %v to %v", m.Version, n.Version)
		}
		if p, _ := nodeNamed(n, "b"); time.Since(p.LastSeen) > time.Minute {
			t.Errorf("last seen %v", p.LastSeen)
		}
	}
}

func TestRemovedNodeIsTold(t *testing.T) {
	w := newWorld(t)
	r := w.start()
	a := r.node(t)
	a.mustRegister(w.boot.KeySecret, "a")
	seen := a.watch(nil)
	seen.until("a map", hasSelf)
	if _, err := r.store.RemoveNode(t.Context(), w.boot.Organization.ID, "a"); err != nil {
		t.Fatal(err)
	}
	if err := seen.ended(); control.ReasonOf(err) != control.ReasonGone || mesh.KindOf(err) != mesh.Denied {
		t.Errorf("removed node's watch ended with %v", err)
	}
	if err := a.watch(nil).ended(); control.ReasonOf(err) != control.ReasonGone {
		t.Errorf("removed node's next watch: %v", err)
	}
	if again := a.mustRegister(w.boot.KeySecret, "a"); !again.Created {
		t.Error("a removed node came back as the old one")
	}
}

func hasSelf(m *mesh.NetworkMap) bool { return m.Self.ID != "" }

func TestNewestWatchOfANodeWins(t *testing.T) {
	w := newWorld(t)
	r := w.start()
	a := r.node(t)
	a.mustRegister(w.boot.KeySecret, "a")
	old := a.watch(nil)
	old.until("a map", hasSelf)
	next := r.nodeWith(t, a.key).watch(nil)
	next.until("a map", hasSelf)
	if err := old.ended(); control.ReasonOf(err) != control.ReasonReplaced {
		t.Errorf("the older watch ended with %v", err)
	}
	next.until("online", func(m *mesh.NetworkMap) bool { return m.Self.Online })
}

// Two agents with one key, as of a copied state directory: both are told, and the older one is
// connected again soon after the newer has gone, without replacing it before.
func TestTwinsAreToldOfEachOther(t *testing.T) {
	w := newWorld(t)
	r := w.start()
	a := r.node(t)
	a.mustRegister(w.boot.KeySecret, "a")
	old := a.watch(nil)
	old.until("a map", hasSelf)
	twin := r.nodeWith(t, a.key)
	next := twin.watch(nil)
	next.until("a map", hasSelf)
	if err := old.ended(); control.ReasonOf(err) != control.ReasonReplaced || !a.client.CanStandBy() {
		t.Fatalf("the older watch ended with %v; can it stand by: %v", err, a.client.CanStandBy())
	}
	if free, err := a.client.StandBy(t.Context()); err != nil || free {
		t.Errorf("while the newer one is there: free %v, %v", free, err)
	}
	eventually.True(t, "the newer one is told", func() bool { return slices.Contains(next.seen(), control.EventTwin) })
	next.stop()
	eventually.True(t, "the older one may come back", func() bool {
		free, err := a.client.StandBy(t.Context())
		return err == nil && free
	})
}

func TestStopIsSoonAndTold(t *testing.T) {
	w := newWorld(t)
	r := w.start()
	var all []*watching
	for i := range 20 {
		n := r.node(t)
		n.mustRegister(w.boot.KeySecret, fmt.Sprint("n", i))
		all = append(all, n.watch(nil))
	}
	for _, s := range all {
		s.until("a map", hasSelf)
	}
	start := time.Now()
	r.stop()
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("stopping took %v", took)
	}
	for _, s := range all {
		if err := s.ended(); mesh.KindOf(err) != mesh.Unavailable {
			t.Errorf("watch ended with %v", err)
		}
		if got := s.seen(); got[len(got)-1] != control.EventBye {
			t.Errorf("last event %v", got)
		}
		if m := s.until("a map", hasSelf); len(m.Peers) == 0 {
			t.Error("the end of the service took peers away")
		}
	}
}

func TestSessionsOutliveARestart(t *testing.T) {
	w := newWorld(t)
	r := w.start()
	a := r.node(t)
	reg := a.mustRegister(w.boot.KeySecret, "a")
	r.stop()
	r2 := w.start()
	req, err := http.NewRequest(http.MethodPut, r2.url.Base()+control.PathPrefixes, strings.NewReader(`{"prefixes":[]}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+reg.Session.Token)
	resp, err := insecureHTTP(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if b := bodyOf(t, resp); resp.StatusCode != 200 {
		t.Errorf("after a restart: %d %s", resp.StatusCode, b)
	}
}

func TestReplicasAgree(t *testing.T) {
	w := newWorld(t)
	one, two := w.start(), w.start()
	a := one.node(t)
	a.mustRegister(w.boot.KeySecret, "a")
	b := two.node(t)
	b.mustRegister(w.boot.KeySecret, "b")
	sa := a.watch(nil)
	sb := two.nodeWith(t, b.key).watch(nil)
	sa.until("b online", func(m *mesh.NetworkMap) bool { n, _ := nodeNamed(m, "b"); return n.Online })
	sb.until("a online", func(m *mesh.NetworkMap) bool { n, _ := nodeNamed(m, "a"); return n.Online })
	start := time.Now()
	if _, err := b.advertise("172.24.0.0/24"); err != nil {
		t.Fatal(err)
	}
	sa.until("the prefix from the other replica", advertises("b", "172.24.0.0/24"))
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("a change took %v to the other replica", took)
	}
	// a challenge of one is answered at the other
	key, _ := mesh.NewPrivateKey()
	raw := rawCaller{t, key, insecureHTTP(t)}
	ch := raw.challenge(one.url)
	body := raw.registration(w.boot.KeySecret, w.pin)
	if status, out := raw.answer(two.url, ch, control.PathRegister, body, body); status != 200 {
		t.Errorf("challenge of the other replica: %d %s", status, out)
	}
}

// A reader that takes nothing neither holds others up nor stays for ever.
func TestSlowReaderHoldsNobodyUp(t *testing.T) {
	w := newWorld(t)
	r := w.start()
	slow, fast := r.node(t), r.node(t)
	reg := slow.mustRegister(w.boot.KeySecret, "slow")
	fast.mustRegister(w.boot.KeySecret, "fast")
	conn, err := tls.Dial("tcp", r.url.Host, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.NetConn().(*net.TCPConn).SetReadBuffer(4096)
	fmt.Fprintf(conn, "GET /v1/watch HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", reg.Session.Token)
	seen := fast.watch(nil)
	seen.until("a map", hasSelf)
	for i := range 40 {
		if _, err := fast.advertise(fmt.Sprintf("10.%d.0.0/16", i)); err != nil {
			t.Fatal(err)
		}
	}
	start := time.Now()
	m := seen.until("the last change", advertises("fast", "10.39.0.0/16"))
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("took %v", took)
	}
	// the slow one wakes up and gets the newest map in the end
	conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	lines := bufio.NewScanner(conn)
	lines.Buffer(nil, 1<<20)
	want := fmt.Sprintf(`"rev":%d,`, m.Rev)
	for lines.Scan() {
		if strings.Contains(lines.Text(), want) {
			return
		}
	}
	t.Errorf("the slow reader never saw %s: %v", want, lines.Err())
}

func TestKeepalive(t *testing.T) {
	w := newWorld(t)
	r := w.start(func(c *service.Config, _ *store.Options) { c.Keepalive = 50 * time.Millisecond })
	n := r.node(t)
	reg := n.mustRegister(w.boot.KeySecret, "a")
	req, _ := http.NewRequest(http.MethodGet, r.url.Base()+control.PathWatch, nil)
	req.Header.Set("Authorization", "Bearer "+reg.Session.Token)
	resp, err := insecureHTTP(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if ct := resp.Header.Get("Content-Type"); ct != control.TypeStream {
		t.Errorf("content type %s", ct)
	}
	lines := bufio.NewScanner(resp.Body)
	for n := 0; n < 2; {
		if !lines.Scan() {
			t.Fatal(lines.Err())
		}
		if lines.Text() == `{"type":"keepalive"}` {
			n++
		}
	}
}

// 1,000 agents behind one address register, watch, and all hear of one change.
func TestThousandWatchers(t *testing.T) {
	if testing.Short() {
		t.Skip("long")
	}
	const n = 1000
	w := newWorld(t)
	r := w.start(func(c *service.Config, _ *store.Options) { c.Certificate = nil })
	tr := &http.Transport{MaxIdleConnsPerHost: 20}
	defer tr.CloseIdleConnections()
	tokens := make([]string, n)
	start := time.Now()
	var wg sync.WaitGroup
	for part := range 20 {
		wg.Go(func() {
			for i := part; i < n; i += 20 {
				key, _ := mesh.NewPrivateKey()
				c := rawCaller{t, key, &http.Client{Transport: tr}}
				body := c.registration(w.boot.KeySecret, control.Pin{})
				status, out := c.answer(r.url, c.challenge(r.url), control.PathRegister, body, body)
				if status != 200 {
					t.Errorf("register %d: %d %s", i, status, out)
					return
				}
				tokens[i] = tokenIn(t, out)
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	registered := time.Since(start)
	before := heap()
	bodies := make([]io.Closer, n)
	got := make(chan int, n)
	start = time.Now()
	for i, token := range tokens {
		req, _ := http.NewRequest(http.MethodGet, r.url.Base()+control.PathWatch, nil)
		req.Header.Set("Authorization", "Bearer "+token)
		wg.Go(func() {
			resp, err := (&http.Client{Transport: tr}).Do(req)
			if err != nil {
				t.Error(err)
				return
			}
			bodies[i] = resp.Body
			go countMarker(resp.Body, "10.99.0.0/16", got)
		})
	}
	wg.Wait()
	defer func() {
		for _, b := range bodies {
			if b != nil {
				b.Close()
			}
		}
	}()
	opened := time.Since(start)
	time.Sleep(time.Second) // until nothing more is being told; only the measurement needs it
	after := heap()
	start = time.Now()
	key, _ := mesh.NewPrivateKey()
	last := r.nodeWith(t, key)
	last.mustRegister(w.boot.KeySecret, "last", "10.99.0.0/16")
	for i := range n {
		select {
		case <-got:
		case <-time.After(60 * time.Second):
			t.Fatalf("only %d watchers heard of the change", i)
		}
	}
	t.Logf("%d nodes: registered in %v, watching in %v, all told of a change in %v; %d KiB a watcher with its client's half",
		n, registered.Round(time.Millisecond), opened.Round(time.Millisecond), time.Since(start).Round(time.Millisecond), (after-before)/n/1024)
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// countMarker reads a stream to its end and reports when the marker comes by.
func countMarker(r io.Reader, marker string, got chan<- int) {
	buf := make([]byte, 4096)
	keep := 0
	told := false
	for {
		n, err := r.Read(buf[keep:])
		if !told && strings.Contains(string(buf[:keep+n]), marker) {
			told = true
			got <- 1
		}
		if err != nil {
			return
		}
		tail := min(keep+n, len(marker)-1)
		copy(buf, buf[keep+n-tail:keep+n])
		keep = tail
	}
}

// HTTP/2, which reverse proxies and curl speak, ends a stream at its write
// deadline even when nothing is being written.
func TestWatchOverHTTP2OutlivesItsWriteDeadline(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	w := newWorld(t)
	r := w.start()
	reg := r.node(t).mustRegister(w.boot.KeySecret, "a")
	tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}
	defer tr.CloseIdleConnections()
	req, _ := http.NewRequest(http.MethodGet, r.url.Base()+control.PathWatch, nil)
	req.Header.Set("Authorization", "Bearer "+reg.Session.Token)
	resp, err := (&http.Client{Transport: tr}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.ProtoMajor != 2 {
		t.Fatalf("speaks %s", resp.Proto)
	}
	for lines := bufio.NewScanner(resp.Body); ; {
		if !lines.Scan() {
			t.Fatalf("the stream ended: %v", lines.Err())
		}
		if strings.Contains(lines.Text(), `"keepalive"`) { // 25 s
			return
		}
	}
}
