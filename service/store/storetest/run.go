package storetest

import (
	"net/netip"
	"slices"
	"testing"

	"nexd/internal/leak"
	"nexd/mesh"
	"nexd/service/store"
)

// Open opens a store over an empty database that no other test uses, and closes it when
// the test ends.
type Open func(*testing.T, store.Options) *store.Store

// Run checks the contract of the store.
func Run(t *testing.T, open Open) {
	for _, part := range []map[string]func(*testing.T, Open){basics, registration, addresses, prefixes, concurrency, people, replace} {
		names := make([]string, 0, len(part))
		for name := range part {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			t.Run(name, func(t *testing.T) {
				leak.Check(t)
				part[name](t, open)
			})
		}
	}
}

// world is a bootstrapped store and its first organization.
type world struct {
	*store.Store
	t      *testing.T
	org    store.Organization
	secret string // of a reusable registration key
}

func bootstrapped(t *testing.T, open Open, opts store.Options) *world {
	t.Helper()
	s := open(t, opts)
	b, err := s.Bootstrap(t.Context(), store.BootstrapParams{Email: "ada@example.com", PasswordHash: "opaque", Key: &store.KeyParams{}})
	if err != nil {
		t.Fatal(err)
	}
	return &world{Store: s, t: t, org: b.Organization, secret: b.KeySecret}
}

// second is another organization of the same store.
func (w *world) second(name string) *world {
	w.t.Helper()
	o, err := w.CreateOrganization(w.t.Context(), name, "")
	if err != nil {
		w.t.Fatal(err)
	}
	_, secret, err := w.CreateKey(w.t.Context(), o.ID, store.KeyParams{})
	if err != nil {
		w.t.Fatal(err)
	}
	return &world{Store: w.Store, t: w.t, org: o, secret: secret}
}

// join registers a new node.
func (w *world) join(hostname string, prefixes ...string) mesh.Node {
	w.t.Helper()
	r, err := w.Register(w.t.Context(), store.Registration{
		Key: newKey(w.t), RegistrationKey: w.secret, Hostname: hostname, Prefixes: parse(prefixes...),
	})
	if err != nil {
		w.t.Fatalf("register %s: %v", hostname, err)
	}
	return r.Node
}

func (w *world) revs() store.Revs {
	w.t.Helper()
	revs, err := w.Revs(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return revs[w.org.ID]
}

func (w *world) snapshot() *store.Snapshot {
	w.t.Helper()
	s, err := w.Snapshot(w.t.Context(), w.org.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

func newKey(t *testing.T) mesh.Key {
	t.Helper()
	k, err := mesh.NewPrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	return k.Public()
}

func parse(prefixes ...string) []netip.Prefix {
	ps := make([]netip.Prefix, len(prefixes))
	for i, p := range prefixes {
		ps[i] = netip.MustParsePrefix(p)
	}
	return ps
}

func wantKind(t *testing.T, what string, err error, want mesh.Kind) {
	t.Helper()
	if err == nil || mesh.KindOf(err) != want {
		t.Errorf("%s: error %v (kind %v), want kind %v", what, err, mesh.KindOf(err), want)
	}
}

func wantOK(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}
