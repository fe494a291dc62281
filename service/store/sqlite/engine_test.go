package sqlite_test

import (
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"nexd/service/store/engine"
	"nexd/service/store/sqlite"
	"nexd/service/store/storetest"
)

func TestContract(t *testing.T) {
	storetest.RunEngine(t, func(t *testing.T) engine.Engine {
		e, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "nexd.db"), engine.Options{
			Logger: slog.New(slog.DiscardHandler), Create: true, BusyTimeout: 5 * time.Second, Readers: 4,
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := e.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
		return e
	})
}
