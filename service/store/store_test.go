package store_test

import (
	"path/filepath"
	"testing"

	"nexd/service/store"
	"nexd/service/store/storetest"
)

func open(t *testing.T, path string, opts store.Options) *store.Store {
	t.Helper()
	opts.Create = true
	s, err := store.Open(t.Context(), path, opts)
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

func TestContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T, opts store.Options) *store.Store {
		return open(t, filepath.Join(t.TempDir(), "nexd.db"), opts)
	})
}
