package service_test

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"nexd/control"
	"nexd/mesh"
	"nexd/service"
	"nexd/service/store"
)

// A session ends after a day; the agent's client opens another by itself.
func TestSessionsEndAndAreOpenedAgain(t *testing.T) {
	w := newWorld(t)
	var mu sync.Mutex
	now := time.Now()
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	r := w.start(func(c *service.Config, o *store.Options) { c.Now, o.Now = clock, clock })
	n := r.node(t)
	reg := n.mustRegister(w.boot.KeySecret, "a")
	if left := reg.Session.Expires.Sub(now); left < control.SessionLife-2*time.Second || left > control.SessionLife+time.Second {
		t.Errorf("a session lasts %v", left)
	}
	mu.Lock()
	now = now.Add(control.SessionLife + time.Minute)
	mu.Unlock()
	if _, err := r.store.Session(t.Context(), reg.Session.Token); mesh.KindOf(err) != mesh.Denied {
		t.Fatalf("the session has not ended: %v", err)
	}
	if _, err := n.advertise("172.24.0.0/24"); control.ReasonOf(err) != control.ReasonSession {
		t.Errorf("with the session that has ended: %v", err)
	}
	if _, err := n.client.UpdateEndpoints(t.Context(), control.EndpointUpdate{}); err != nil { // the client opens another
		t.Errorf("after its session ended: %v", err)
	}
	n.watch(nil).until("a map", hasSelf)
}

// 50 nodes at two replicas claim prefixes that overlap; each place has one winner
// and every loser is told who that is.
func TestOverlappingClaimsRaced(t *testing.T) {
	w := newWorld(t)
	a, b := w.start(), w.start()
	nodes := make([]*node, 50)
	for i := range nodes {
		nodes[i] = []*replica{a, b}[i%2].node(t)
		nodes[i].mustRegister(w.boot.KeySecret, fmt.Sprint("n", i))
	}
	claims := []string{"10.1.0.0/16", "10.1.5.0/24", "10.1.5.128/25", "10.2.0.0/24", "10.2.0.0/24"}
	errs := make([]error, len(nodes))
	var wg sync.WaitGroup
	for i, n := range nodes {
		wg.Go(func() {
			_, errs[i] = n.advertise(claims[i%len(claims)])
		})
	}
	wg.Wait()
	held, err := a.store.Prefixes(t.Context(), w.boot.Organization.ID)
	if err != nil {
		t.Fatal(err)
	}
	won := 0
	for i, err := range errs {
		switch {
		case err == nil:
			won++
		case mesh.KindOf(err) != mesh.Conflict:
			t.Errorf("loser %d: %v", i, err)
		}
	}
	if won != len(held) || won < 2 || won > 3 {
		t.Errorf("%d winners, held %v", won, held)
	}
	for i, h := range held {
		if slices.ContainsFunc(held[i+1:], func(o mesh.Holding) bool { return o.Prefix.Overlaps(h.Prefix) }) {
			t.Errorf("%v overlaps another: %v", h.Prefix, held)
		}
	}
	if !slices.ContainsFunc(held, func(h mesh.Holding) bool { return h.Prefix == netip.MustParsePrefix("10.2.0.0/24") }) {
		t.Errorf("nobody won 10.2.0.0/24: %v", held)
	}
}
