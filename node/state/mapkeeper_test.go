package state

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"nexd/mesh"
)

func TestMapsAreKeptNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var saved []uint64
		k := &MapKeeper{log: slog.New(slog.DiscardHandler), save: func(m *mesh.NetworkMap) error {
			time.Sleep(200 * time.Millisecond)
			saved = append(saved, m.Rev)
			return nil
		}}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- k.Run(ctx) }()
		keep := func(rev uint64) {
			m := new(mesh.NetworkMap)
			m.Rev = rev
			k.Keep(m)
		}
		so := func(want ...uint64) bool {
			k.mu.Lock() // saving is done with it held
			defer k.mu.Unlock()
			return slices.Equal(saved, want)
		}
		for rev := uint64(1); rev <= 10; rev++ { // the first at once; 20 times 200 ms later the last
			keep(rev)
		}
		time.Sleep(6 * time.Second)
		if !so(1, 10) {
			t.Errorf("saved %v, want 1 and 10", saved)
		}
		keep(11)
		time.Sleep(time.Second)
		cancel()
		if err := <-done; err != nil || !so(1, 10, 11) {
			t.Errorf("after the end %v were saved, %v", saved, err)
		}
	})
}

// A map that could not be saved, as on a full disk, is tried again, and Trouble tells why until it is
// saved.
func TestAMapThatCannotBeSavedIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full := errors.New("no space left on device")
		var room atomic.Bool
		var saves atomic.Int64
		k := &MapKeeper{log: slog.New(slog.DiscardHandler), save: func(*mesh.NetworkMap) error {
			if saves.Add(1); room.Load() {
				return nil
			}
			return full
		}}
		go k.Run(t.Context())
		began := time.Now()
		k.Keep(new(mesh.NetworkMap))
		time.Sleep(61 * time.Second)
		tried := saves.Load()
		if since, err := k.Trouble(); err != full || !since.Equal(began) || tried < 10 || tried > 14 {
			t.Errorf("after a minute on a full disk: %v since %v, tried %d times", err, since.Sub(began), tried)
		}
		room.Store(true)
		time.Sleep(10 * time.Second)
		if _, err := k.Trouble(); err != nil {
			t.Errorf("there is room again, but %v", err)
		}
		n := saves.Load()
		time.Sleep(time.Minute)
		if more := saves.Load() - n; more != 0 {
			t.Errorf("a saved map was saved %d times more", more)
		}
	})
}
