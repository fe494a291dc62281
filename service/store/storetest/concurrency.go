package storetest

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"

	"nexd/ipam"
	"nexd/mesh"
	"nexd/service/store"
)

var concurrency = map[string]func(*testing.T, Open){
	"of many that claim overlapping prefixes one wins": onePrefixWinner,
	"a one-use key adds one node":                      oneKeyWinner,
	"one node key registers once":                      oneNodeWinner,
	"no update is lost":                                noLostUpdate,
	"revisions are the order of commits":               revIsCommitOrder,
	"snapshots are consistent while others write":      consistentSnapshots,
	"a canceled caller changes nothing":                canceled,
}

const crowd = 50

// together runs fn in n goroutines that start at once.
func together(n int, fn func(i int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-start
			fn(i)
		})
	}
	close(start)
	wg.Wait()
}

func onePrefixWinner(t *testing.T, open Open) {
	w := bootstrapped(t, open, store.Options{})
	nodes := make([]mesh.Node, crowd)
	for i := range nodes {
		nodes[i] = w.join("n")
	}
	for round := range 4 {
		// All overlap 10.ROUND.0.0/24: it, what is around it, and its first address.
		lengths := []int{8 + 6, 16, 20, 24, 32}
		base := netip.AddrFrom4([4]byte{byte(10 + 4*round), 0, 0, 0})
		var won, lost atomic.Int32
		together(crowd, func(i int) {
			p := netip.PrefixFrom(base, lengths[i%len(lengths)]).Masked()
			err := w.SetAdvertised(context.Background(), w.org.ID, nodes[i].ID, []netip.Prefix{p})
			var conflict *ipam.ConflictError
			switch {
			case err == nil:
				won.Add(1)
			case errors.As(err, &conflict) && conflict.Holding.Prefix.Overlaps(p):
				lost.Add(1)
			default:
				t.Errorf("advertise %v: %v", p, err)
			}
		})
		if won.Load() != 1 || lost.Load() != crowd-1 {
			t.Errorf("round %d: %d won and %d lost", round, won.Load(), lost.Load())
		}
	}
	hs, err := w.Prefixes(t.Context(), w.org.ID)
	wantOK(t, "Prefixes", err)
	for i, a := range hs {
		for _, b := range hs[:i] {
			if a.Prefix.Overlaps(b.Prefix) {
				t.Errorf("%v and %v are both held", a, b)
			}
		}
	}
}

func oneKeyWinner(t *testing.T, open Open) {
	w := bootstrapped(t, open, store.Options{})
	for _, uses := range []int{1, 7} {
		_, secret, err := w.CreateKey(t.Context(), w.org.ID, store.KeyParams{Uses: uses})
		wantOK(t, "CreateKey", err)
		before := len(w.snapshot().Nodes)
		keys := make([]mesh.Key, crowd)
		for i := range keys {
			keys[i] = newKey(t)
		}
		var won atomic.Int32
		together(crowd, func(i int) {
			_, err := w.Register(context.Background(), store.Registration{Key: keys[i], RegistrationKey: secret, Hostname: "n"})
			if err == nil {
				won.Add(1)
			} else if mesh.KindOf(err) != mesh.Denied {
				t.Errorf("Register: %v", err)
			}
		})
		if got := len(w.snapshot().Nodes) - before; won.Load() != int32(uses) || got != uses {
			t.Errorf("a key of %d uses let %d in; %d are there", uses, won.Load(), got)
		}
	}
}

func oneNodeWinner(t *testing.T, open Open) {
	w := bootstrapped(t, open, store.Options{})
	other := w.second("other")
	key := newKey(t)
	var fresh, again, elsewhere atomic.Int32
	together(crowd, func(i int) {
		secret := w.secret
		if i%2 == 1 {
			secret = other.secret
		}
		r, err := w.Register(context.Background(), store.Registration{Key: key, RegistrationKey: secret, Hostname: "n"})
		switch {
		case err == nil && r.New:
			fresh.Add(1)
		case err == nil:
			again.Add(1)
		case mesh.KindOf(err) == mesh.Conflict:
			elsewhere.Add(1)
		default:
			t.Errorf("Register: %v", err)
		}
	})
	if fresh.Load() != 1 || again.Load() != crowd/2-1 || elsewhere.Load() != crowd/2 {
		t.Errorf("%d new, %d again, %d elsewhere", fresh.Load(), again.Load(), elsewhere.Load())
	}
	if n := len(w.snapshot().Nodes) + len(other.snapshot().Nodes); n != 1 {
		t.Errorf("%d nodes", n)
	}
}

// noLostUpdate would fail if revisions came from a sequence: a reader that has seen the
// highest revision misses a change that commits later with a lower one.
func noLostUpdate(t *testing.T, open Open) {
	w := bootstrapped(t, open, store.Options{})
	const each = 4
	ctx, cancel := context.WithCancel(t.Context())
	seen := map[string]bool{} // what the watcher has seen
	var last uint64
	var watcher sync.WaitGroup
	look := func() {
		revs, err := w.Revs(context.Background())
		if err != nil || revs[w.org.ID].Map == last {
			return
		}
		s, err := w.Snapshot(context.Background(), w.org.ID)
		if err != nil {
			t.Errorf("Snapshot: %v", err)
			return
		}
		if s.Version.Rev < last {
			t.Errorf("revision %d after %d", s.Version.Rev, last)
		}
		last = s.Version.Rev
		for _, n := range s.Nodes {
			seen[n.Key.String()] = true
		}
	}
	watcher.Go(func() {
		for ctx.Err() == nil {
			look()
		}
	})
	keys := make([]mesh.Key, crowd*each)
	for i := range keys {
		keys[i] = newKey(t)
	}
	first := w.revs().Map
	together(crowd, func(i int) {
		for j := range each {
			_, err := w.Register(context.Background(), store.Registration{Key: keys[i*each+j], RegistrationKey: w.secret, Hostname: "n"})
			if err != nil {
				t.Errorf("Register: %v", err)
			}
		}
	})
	cancel()
	watcher.Wait()
	look() // only if the revision says so
	if len(seen) != len(keys) || last != first+uint64(len(keys)) {
		t.Errorf("the watcher saw %d of %d nodes; the revision rose by %d", len(seen), len(keys), last-first)
	}
}

// revIsCommitOrder adds many nodes at once, each with one revision. Every snapshot must
// have as many nodes as its revision has risen.
func revIsCommitOrder(t *testing.T, open Open) {
	w := bootstrapped(t, open, store.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	base := w.revs().Map
	keys := make([]mesh.Key, crowd)
	for i := range keys {
		keys[i] = newKey(t)
	}
	var readers sync.WaitGroup
	var looks atomic.Int32
	for range 3 {
		readers.Go(func() {
			for ctx.Err() == nil {
				s, err := w.Snapshot(context.Background(), w.org.ID)
				if err != nil {
					t.Errorf("Snapshot: %v", err)
					return
				}
				looks.Add(1)
				if uint64(len(s.Nodes)) != s.Version.Rev-base {
					t.Errorf("revision %d (%d after the first) has %d nodes", s.Version.Rev, s.Version.Rev-base, len(s.Nodes))
				}
			}
		})
	}
	together(crowd, func(i int) {
		if _, err := w.Register(context.Background(), store.Registration{Key: keys[i], RegistrationKey: w.secret, Hostname: "n"}); err != nil {
			t.Errorf("Register: %v", err)
		}
	})
	cancel()
	readers.Wait()
	if got := w.revs().Map; got != base+crowd || looks.Load() == 0 {
		t.Errorf("revision %d after %d changes from %d; %d looks", got, crowd, base, looks.Load())
	}
}

// consistentSnapshots moves a prefix to and fro between two nodes. Every snapshot must
// show exactly one of them with the prefix.
func consistentSnapshots(t *testing.T, open Open) {
	w := bootstrapped(t, open, store.Options{})
	pair := []mesh.Node{w.join("a"), w.join("b")}
	p := netip.MustParsePrefix("172.24.0.0/24")
	move := func(to int) error {
		return w.Update(context.Background(), w.org.ID, func(tx *store.Tx) error {
			ctx := context.Background()
			if _, err := tx.IPAM().Release(ctx, p, ""); err != nil && mesh.KindOf(err) != mesh.NotFound {
				return err
			}
			return tx.Advertise(ctx, pair[to].ID, []netip.Prefix{p})
		})
	}
	wantOK(t, "move", move(0))
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			var last uint64
			for {
				select {
				case <-done:
					return
				default:
				}
				s, err := w.Snapshot(context.Background(), w.org.ID)
				if err != nil {
					t.Errorf("Snapshot: %v", err)
					return
				}
				if n := len(s.Nodes[0].Prefixes) + len(s.Nodes[1].Prefixes); n != 1 || s.Version.Rev < last {
					t.Errorf("revision %d after %d has the prefix %d times", s.Version.Rev, last, n)
				}
				last = s.Version.Rev
			}
		})
	}
	for i := range 100 {
		if err := move(i % 2); err != nil {
			t.Errorf("move %d: %v", i, err)
		}
	}
	close(done)
	readers.Wait()
}

func canceled(t *testing.T, open Open) {
	w := bootstrapped(t, open, store.Options{})
	n := w.join("before")
	before := w.revs()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := w.Register(ctx, store.Registration{Key: newKey(t), RegistrationKey: w.secret})
	wantKind(t, "Register", err, mesh.Unavailable)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Register error %v hides its cause", err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	err = w.Update(ctx, w.org.ID, func(tx *store.Tx) error {
		err := tx.Advertise(ctx, n.ID, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")})
		if err != nil {
			t.Errorf("Advertise: %v", err)
		}
		cancel()
		return err
	})
	wantKind(t, "an update whose caller is gone before the commit", err, mesh.Unavailable)
	if held := w.held(); held != "" {
		t.Errorf("held %q", held)
	}
	if after := w.revs(); after != before {
		t.Errorf("revs %v became %v", before, after)
	}
	boom := errors.New("boom")
	func() {
		defer func() {
			if r := recover(); r != boom {
				t.Errorf("recovered %v", r)
			}
		}()
		_ = w.Update(t.Context(), w.org.ID, func(*store.Tx) error { panic(boom) })
	}()
	if n := w.join("after"); n.Name != "after" { // the writer is free again
		t.Error(fmt.Sprint(n))
	}
}
