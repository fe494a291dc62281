package store_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"nexd/internal/leak"
	"nexd/mesh"
	"nexd/service/store"
	"nexd/service/store/engine"
	"nexd/service/store/storetest"
)

// engines are the databases that the store runs on; dsn names an empty one.
var engines = []struct {
	name string
	dsn  func(*testing.T) string
}{
	{"sqlite", func(t *testing.T) string { return filepath.Join(t.TempDir(), "nexd.db") }},
}

func TestContract(t *testing.T) {
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			storetest.Run(t, func(t *testing.T, opts store.Options) *store.Store { return open(t, e.dsn(t), opts) })
		})
	}
}

// An engine may roll a transaction back and run its function again.
func TestContractWhenEveryTransactionRunsTwice(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the whole contract again; make test runs it")
	}
	dsn := func(t *testing.T) string { return filepath.Join(t.TempDir(), "nexd.db") }
	storetest.Run(t, func(t *testing.T, opts store.Options) *store.Store {
		s, err := store.OpenOver(t.Context(), dsn(t), opts, func(e engine.Engine) engine.Engine { return twice{e} })
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
		return s
	})
}

// twice is an engine that rolls every successful transaction back once.
type twice struct{ engine.Engine }

var errConflict = errors.New("a conflict between transactions")

func (e twice) Write(ctx context.Context, fn func(engine.Tx) error) error {
	err := e.Engine.Write(ctx, func(tx engine.Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		return errConflict
	})
	if err != errConflict {
		return err
	}
	return e.Engine.Write(ctx, fn)
}

func TestEverythingSurvivesReopening(t *testing.T) {
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) { survivesReopening(t, e.dsn(t)) })
	}
}

// open opens the database that dsn names; the test's end closes it.
func open(t testing.TB, dsn string, opts store.Options) *store.Store {
	t.Helper()
	opts.Create = true
	s, err := store.Open(t.Context(), dsn, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

// fresh is a bootstrapped database with a reusable registration key.
func fresh(t testing.TB, dsn string) (*store.Store, store.Bootstrapped) {
	t.Helper()
	s := open(t, dsn, store.Options{})
	b, err := s.Bootstrap(t.Context(), store.BootstrapParams{Email: "ada@example.com", PasswordHash: "x", Key: &store.KeyParams{}})
	if err != nil {
		t.Fatal(err)
	}
	return s, b
}

func register(s *store.Store, secret string) (store.Registered, error) {
	k, err := mesh.NewPrivateKey()
	if err != nil {
		return store.Registered{}, err
	}
	return s.Register(context.Background(), store.Registration{Key: k.Public(), RegistrationKey: secret, Hostname: "n"})
}

func survivesReopening(t *testing.T, dsn string) {
	leak.Check(t)
	s, b := fresh(t, dsn)
	r, err := register(s, b.KeySecret)
	if err != nil {
		t.Fatal(err)
	}
	before, err := s.Snapshot(t.Context(), b.Organization.ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Revs(t.Context()); err == nil {
		t.Error("a closed store answers")
	}
	again := open(t, dsn, store.Options{})
	after, err := again.Snapshot(t.Context(), b.Organization.ID)
	if err != nil || fmt.Sprint(after) != fmt.Sprint(before) || after.Nodes[0].ID != r.Node.ID {
		t.Errorf("after reopening %v, %v; before %v", after, err, before)
	}
}
