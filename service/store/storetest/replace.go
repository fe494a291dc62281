package storetest

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"nexd/mesh"
	"nexd/service/store"
)

var replace = map[string]func(*testing.T, Open){
	"a start on an empty directory takes the place of the offline node": replaceOffline,
	"a node that was seen lately is waited for":                         replaceWaits,
	"only nodes of the same key and host name are replaced":             replaceOnly,
	"of two starts at once one has the prefix":                          replaceRace,
}

// replacing is a world with a clock and a reusable key that replaces.
func replacing(t *testing.T, open Open) (w *world, now *time.Time, secret string, join func(host string, prefixes ...string) (store.Registered, mesh.Key, error)) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var mu sync.Mutex
	w = bootstrapped(t, open, store.Options{Now: func() time.Time { mu.Lock(); defer mu.Unlock(); return at }})
	_, secret, err := w.CreateKey(t.Context(), w.org.ID, store.KeyParams{Replaces: true})
	wantOK(t, "CreateKey", err)
	return w, &at, secret, func(host string, prefixes ...string) (store.Registered, mesh.Key, error) {
		key := newKey(t)
		r, err := w.Register(t.Context(), store.Registration{Key: key, RegistrationKey: secret, Hostname: host,
			Prefixes: parse(prefixes...), OfflineSince: at.Add(-store.ReplaceAfter)})
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("error %q shows the key", err)
		}
		return r, key, err
	}
}

func replaceOffline(t *testing.T, open Open) {
	w, now, _, join := replacing(t, open)
	if ks, err := w.Keys(t.Context(), w.org.ID); err != nil || !ks[0].Replaces && !ks[1].Replaces || ks[0].Replaces && ks[1].Replaces {
		t.Errorf("Keys = %+v, %v", ks, err)
	}
	seen := map[string]bool{}
	var first mesh.Key
	for i := range 5 {
		r, key, err := join("edge", "172.24.0.0/24")
		wantOK(t, "Register", err)
		if r.Node.Name != "edge" || len(r.Node.Prefixes) != 1 {
			t.Errorf("start %d: %+v", i, r.Node)
		}
		if a := r.Node.Addresses[0].String(); seen[a] {
			t.Errorf("start %d: the address %s of the node before does not rest", i, a)
		} else {
			seen[a] = true
		}
		if i == 0 {
			first = key
		}
		*now = now.Add(store.ReplaceAfter + time.Second)
	}
	if s := w.snapshot(); len(s.Nodes) != 1 {
		t.Errorf("%d nodes are left", len(s.Nodes))
	}
	_, err := w.Register(t.Context(), store.Registration{Key: first, RegistrationKey: w.secret, Hostname: "edge"})
	wantKind(t, "the first node comes back", err, mesh.Denied)
	if !errors.Is(err, store.ErrReplaced) || !strings.Contains(err.Error(), "--state-dir") {
		t.Errorf("the first node comes back: %v", err)
	}
	log, err := w.Audit(t.Context(), w.org.ID, "", 100)
	wantOK(t, "audit", err)
	replaced := 0
	for _, e := range log {
		if e.Action == "node.remove" && strings.Contains(e.After, "replaced") {
			replaced++
		}
	}
	if replaced != 4 {
		t.Errorf("the audit has %d replaced nodes, want 4", replaced)
	}
	*now = now.Add(100 * 24 * time.Hour)
	if n, err := w.Purge(t.Context()); err != nil || n != 4 {
		t.Errorf("Purge = %d, %v", n, err)
	}
	_, err = w.Register(t.Context(), store.Registration{Key: first, RegistrationKey: w.secret, Hostname: "edge"})
	wantOK(t, "Register after the purge", err)
}

func replaceWaits(t *testing.T, open Open) {
	w, now, secret, join := replacing(t, open)
	old, _, err := join("edge", "172.24.0.0/24")
	wantOK(t, "Register", err)
	*now = now.Add(store.ReplaceAfter) // seen exactly a minute ago: not yet
	before := w.snapshot()
	_, _, err = join("edge", "172.24.0.0/25")
	wantKind(t, "Register too early", err, mesh.Unavailable)
	if err != nil && !strings.Contains(err.Error(), "is held by edge") {
		t.Errorf("too early: %v", err)
	}
	if after := w.snapshot(); after.Version != before.Version || len(after.Nodes) != 1 {
		t.Errorf("a refused start changed %+v", after)
	}
	*now = now.Add(30 * time.Second)
	wantOK(t, "Touch", w.Touch(t.Context(), w.org.ID, old.Node.ID)) // it is running
	_, _, err = join("edge", "172.24.0.0/24")
	wantKind(t, "Register beside a running node", err, mesh.Unavailable)
	r, _, err := join("edge") // no prefix: nothing to wait for
	if err != nil || r.Node.Name != "edge-2" {
		t.Errorf("Register without a prefix = %+v, %v", r.Node, err)
	}
	*now = now.Add(time.Hour)
	key := newKey(t)
	_, err = w.Register(t.Context(), store.Registration{Key: key, RegistrationKey: secret, Hostname: "edge", Prefixes: parse("172.24.0.0/24")})
	wantKind(t, "Register while nobody is known to be offline", err, mesh.Unavailable)
	r, _, err = join("edge", "172.24.0.0/24")
	if err != nil || r.Node.Name != "edge" || len(w.snapshot().Nodes) != 1 {
		t.Errorf("Register = %+v, %v; %d nodes", r.Node, err, len(w.snapshot().Nodes))
	}
}

func replaceOnly(t *testing.T, open Open) {
	w, now, _, join := replacing(t, open)
	w.join("edge", "10.1.0.0/16")             // with another key
	_, _, err := join("other", "10.2.0.0/16") // of another host name
	wantOK(t, "Register", err)
	*now = now.Add(time.Hour)
	_, _, err = join("edge", "10.1.0.0/16")
	wantKind(t, "Register over a node of another key", err, mesh.Conflict)
	_, _, err = join("edge", "10.2.0.0/16")
	wantKind(t, "Register over a node of another host name", err, mesh.Conflict)
	if r, _, err := join("edge"); err != nil || r.Node.Name != "edge-2" {
		t.Errorf("Register = %+v, %v", r.Node, err)
	}
	w.join("other") // a key that does not replace
	if s := w.snapshot(); len(s.Nodes) != 4 {
		t.Errorf("%d nodes, want 4", len(s.Nodes))
	}
}

func replaceRace(t *testing.T, open Open) {
	w, now, _, join := replacing(t, open)
	_, _, err := join("edge", "172.24.0.0/24")
	wantOK(t, "Register", err)
	*now = now.Add(time.Hour)
	errs := make([]error, 4)
	var starts sync.WaitGroup
	for i := range errs {
		starts.Go(func() { _, _, errs[i] = join("edge", "172.24.0.0/24") })
	}
	starts.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
		} else if mesh.KindOf(err) != mesh.Unavailable {
			t.Errorf("loser: %v", err)
		}
	}
	if s := w.snapshot(); won != 1 || len(s.Nodes) != 1 || s.Nodes[0].Name != "edge" || len(s.Nodes[0].Prefixes) != 1 {
		t.Errorf("%d won; nodes %+v", won, s.Nodes)
	}
}
