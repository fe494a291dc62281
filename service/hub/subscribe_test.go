package hub_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"nexd/internal/leak"
	"nexd/mesh"
	"nexd/service/hub"
	"nexd/service/store"
)

// world is a hub that runs over a database of its own, with one node registered.
type world struct {
	store *store.Store
	hub   *hub.Hub
	org   mesh.OrgID
	key   string // registers nodes
}

func newWorld(t *testing.T) *world {
	t.Helper()
	leak.Check(t)
	commits := hub.NewNotifier()
	st, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "nexd.db"), store.Options{Create: true, OnCommit: commits.Notify})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	boot, err := st.Bootstrap(t.Context(), store.BootstrapParams{
		Email: "ada@example.com", PasswordHash: "x", TLSCert: []byte("x"), TLSKey: []byte("x"), Key: &store.KeyParams{},
	})
	if err != nil {
		t.Fatal(err)
	}
	h, err := hub.New(hub.Config{Store: st, Notifier: commits})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); h.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return &world{st, h, boot.Organization.ID, boot.KeySecret}
}

func (w *world) register(t *testing.T, name string) mesh.NodeID {
	t.Helper()
	key, err := mesh.NewPrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	r, err := w.store.Register(t.Context(), store.Registration{RegistrationKey: w.key, Key: key.Public(), Hostname: name})
	if err != nil {
		t.Fatal(err)
	}
	return r.Node.ID
}

// until waits for a frame of which ok is true.
func until(t *testing.T, s *hub.Subscription, what string, ok func(*hub.Frame) bool) *hub.Frame {
	t.Helper()
	late := time.After(30 * time.Second)
	for {
		f, changed := s.Frame()
		if f != nil && ok(f) {
			return f
		}
		select {
		case <-changed:
		case <-late:
			t.Fatalf("no frame in which %s", what)
		}
	}
}

func TestASubscriptionSeesNodesComeAndGo(t *testing.T) {
	w := newWorld(t)
	ada := w.register(t, "ada")
	s := w.hub.Subscribe(w.org)
	first := until(t, s, "ada is", func(f *hub.Frame) bool { return f.Has(ada) })
	bob := w.register(t, "bob")
	second := until(t, s, "bob is", func(f *hub.Frame) bool { return f.Has(bob) })
	if second.Version().Rev <= first.Version().Rev {
		t.Errorf("revision %d, then %d", first.Version().Rev, second.Version().Rev)
	}

	seq := second.Seq()
	watch := w.hub.Join(w.org, bob)
	if got := w.hub.Watching()[w.org]; len(got) != 1 || got[0] != bob {
		t.Errorf("watching: %v; a subscription is no node", got)
	}
	watch.Close() // bob was online, since he registered a moment ago
	until(t, s, "bob went offline", func(f *hub.Frame) bool { return f.Changed(seq) == 1 && f.Seq() > seq })
	if _, err := w.store.RemoveNode(t.Context(), w.org, "bob"); err != nil {
		t.Fatal(err)
	}
	until(t, s, "bob is gone", func(f *hub.Frame) bool { return !f.Has(bob) })

	other := w.hub.Subscribe(w.org)
	s.Close()
	s.Close()
	if f, changed := s.Frame(); f != nil || changed != nil {
		t.Error("a closed subscription shows a frame")
	}
	until(t, other, "ada is", func(f *hub.Frame) bool { return f.Has(ada) })
	other.Close()
}

func TestAnOrganizationThatIsNotThereHasAnEmptyFrame(t *testing.T) {
	w := newWorld(t)
	s := w.hub.Subscribe("nowhere")
	defer s.Close()
	until(t, s, "nobody is", func(f *hub.Frame) bool { return !f.Has("n") && f.Version() == mesh.Version{} })
}

func TestNewNeedsAStore(t *testing.T) {
	if _, err := hub.New(hub.Config{}); mesh.KindOf(err) != mesh.Invalid {
		t.Errorf("New = %v", err)
	}
}
