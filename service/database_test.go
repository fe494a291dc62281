package service_test

import (
	"context"
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

func shortBusy(_ *service.Config, o *store.Options) { o.BusyTimeout = 200 * time.Millisecond }

// lock holds the database's write lock, as a command in another process would.
func (w *world) lock() (release func()) {
	st, err := store.Open(context.Background(), w.db, store.Options{BusyTimeout: 30 * time.Second})
	if err != nil {
		w.t.Error(err)
		return func() {}
	}
	held, end, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		defer st.Close()
		err := st.Update(context.Background(), w.boot.Organization.ID, func(*store.Tx) error {
			close(held)
			<-end
			return nil
		})
		if err != nil {
			w.t.Error(err)
		}
	}()
	select {
	case <-held:
	case <-done:
	}
	return func() { close(end); <-done }
}

// unavailable checks an error of a database in trouble: for later, and silent
// about the inside.
func unavailable(t *testing.T, w *world, err error) {
	t.Helper()
	if mesh.KindOf(err) != mesh.Unavailable || strings.Contains(err.Error(), w.db) || strings.Contains(strings.ToLower(err.Error()), "sql") {
		t.Errorf("%v: %v", mesh.KindOf(err), err)
	}
}

func TestDatabaseLocked(t *testing.T) {
	w := newWorld(t)
	r := w.start(shortBusy)
	a, b := r.node(t), r.node(t)
	a.mustRegister(w.boot.KeySecret, "a", "172.24.0.0/24")
	seen := a.watch(nil)
	seen.until("a map", hasSelf)
	release := w.lock()
	_, err := b.register(w.boot.KeySecret, "b")
	unavailable(t, w, err)
	_, err = a.advertise()
	unavailable(t, w, err)
	release()
	if m := seen.until("its prefix", advertises("a", "172.24.0.0/24")); !m.Self.Online {
		t.Errorf("the trouble reached the map: %+v", m.Self)
	}
	b.mustRegister(w.boot.KeySecret, "b")
	seen.until("b", hasPeer("b"))
}

func TestDatabaseGone(t *testing.T) {
	w := newWorld(t)
	r := w.start()
	a := r.node(t)
	a.mustRegister(w.boot.KeySecret, "a")
	seen := a.watch(nil)
	m := seen.until("online", func(m *mesh.NetworkMap) bool { return m.Self.Online })
	r.store.Close() // every statement fails from now on
	if _, err := a.client.About(t.Context()); err == nil {
		t.Error("healthy without a database")
	}
	resp, err := insecureHTTP(t).Get(r.url.Base() + control.PathHealth)
	if err != nil {
		t.Fatal(err)
	}
	if out := bodyOf(t, resp); resp.StatusCode < 500 || resp.Header.Get("Content-Type") != control.TypeProblem || strings.Contains(string(out), "sql") {
		t.Errorf("health: %d %s", resp.StatusCode, out)
	}
	if _, err := a.advertise(); err == nil {
		t.Error("advertised without a database")
	}
	eventually.Stays(t, 400*time.Millisecond, "the watch goes on over some polls", func() bool { return len(seen.done) == 0 })
	if n := seen.until("the map", hasSelf); n.Version != m.Version {
		t.Errorf("the map changed from %v to %v", m.Version, n.Version)
	}
}

func TestMapNeverShrinksByTrouble(t *testing.T) {
	w := newWorld(t)
	r := w.start(shortBusy)
	a := r.node(t)
	a.mustRegister(w.boot.KeySecret, "a")
	for _, host := range []string{"b", "c", "d"} {
		r.node(t).mustRegister(w.boot.KeySecret, host)
	}
	seen := a.watch(nil)
	seen.until("all peers", func(m *mesh.NetworkMap) bool { return len(m.Peers) == 3 })
	var wg sync.WaitGroup
	stop := make(chan struct{})
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				w.lock()()
			}
		}
	})
	deadline := time.Now().Add(time.Second)
	for time.Now().Before(deadline) {
		seen.mu.Lock()
		m := seen.view.Source()
		seen.mu.Unlock()
		if len(m.Peers) != 3 {
			t.Fatalf("the map has %d peers", len(m.Peers))
		}
		a.advertise() // may fail; what counts is the map
	}
	close(stop)
	wg.Wait()
	r.stop()
	if m := seen.until("a map", hasSelf); len(m.Peers) != 3 {
		t.Errorf("the end left %d peers", len(m.Peers))
	}
}
