package state

import (
	"context"
	"errors"
	"log/slog"
	"slices"
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
			return errors.New("said, and tried again with the next one")
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
