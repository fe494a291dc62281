package service_test

import (
	"strings"
	"testing"

	"nexd/control"
	"nexd/mesh"
	"nexd/service/store"
)

// A service that has just started has not seen who is online: a new node waits, and is told for
// what. A replaced node is told that it is gone for good, by agents of every version.
func TestReplacingNodes(t *testing.T) {
	w := newWorld(t)
	r := w.start()
	org := w.boot.Organization.ID
	_, secret, err := r.store.CreateKey(t.Context(), org, store.KeyParams{Replaces: true})
	if err != nil {
		t.Fatal(err)
	}
	old := r.node(t)
	first := old.mustRegister(secret, "edge", "172.24.0.0/24")
	_, err = r.node(t).register(secret, "edge", "172.24.0.0/24")
	if mesh.KindOf(err) != mesh.Unavailable || control.ReasonOf(err) != control.ReasonHeld || !strings.Contains(err.Error(), "held by edge") {
		t.Errorf("a new node right after a restart: %v (reason %q)", err, control.ReasonOf(err))
	}
	// The store's own test shows when a node makes room; here it does so at once.
	_, err = r.store.Register(t.Context(), store.Registration{Key: r.node(t).key.Public(), RegistrationKey: secret, Hostname: "edge",
		Prefixes: prefixesOf([]string{"172.24.0.0/24"}), OfflineSince: first.Node.LastSeen.AddDate(1, 0, 0)})
	if err != nil {
		t.Fatal(err)
	}
	_, err = old.register(secret, "edge", "172.24.0.0/24")
	if mesh.KindOf(err) != mesh.Denied || control.ReasonOf(err) != control.ReasonGone || !strings.Contains(err.Error(), "replaced") {
		t.Errorf("the replaced node comes back: %v (reason %q)", err, control.ReasonOf(err))
	}
}
