package state

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"nexd/internal/periodic"
	"nexd/mesh"
)

const (
	keeperShare = 20          // at most 1/keeperShare of the time goes into writing maps
	keeperLook  = time.Second // between checks for a waiting map
	keeperRetry = 5 * time.Second
)

// MapKeeper keeps the last network map on disk, for a start without the service.
// Writing a large map takes a while, and endpoints change all the time. So a map that
// comes soon after another one waits, and only the last of those that wait is written.
type MapKeeper struct {
	save func(*mesh.NetworkMap) error
	log  *slog.Logger

	mu      sync.Mutex // held while a map is saved, so that an older map never comes last; guards what follows
	next    time.Time  // when the next one may be saved
	waiting *mesh.NetworkMap
	err     error     // of the last attempt
	since   time.Time // of err
}

// NewMapKeeper makes a keeper that writes to s.
func NewMapKeeper(s *State, log *slog.Logger) *MapKeeper {
	return &MapKeeper{save: s.SaveMap, log: log}
}

// Keep saves m, now or later. The caller must not change m afterwards.
func (k *MapKeeper) Keep(m *mesh.NetworkMap) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.waiting = m
	if !time.Now().Before(k.next) {
		k.flush()
	}
}

// Run saves maps that have waited, until ctx ends; then it saves the last one.
func (k *MapKeeper) Run(ctx context.Context) error {
	err := periodic.Run(ctx, keeperLook, func() error {
		k.mu.Lock()
		defer k.mu.Unlock()
		if !time.Now().Before(k.next) {
			k.flush()
		}
		return nil
	})
	k.mu.Lock()
	defer k.mu.Unlock()
	k.flush()
	return err
}

// flush saves the waiting map. The caller holds mu.
func (k *MapKeeper) flush() {
	if k.waiting == nil {
		return
	}
	began := time.Now()
	err := k.save(k.waiting)
	k.next = time.Now().Add(keeperShare * time.Since(began))
	switch {
	case err == nil && k.err != nil:
		k.log.Info("the network map is stored again")
	case err != nil && k.err == nil:
		k.log.Warn("the network map could not be stored for a restart", "err", err)
	}
	if err == nil {
		k.waiting, k.err = nil, nil
		return
	}
	if k.err == nil {
		k.since = began
	}
	k.err, k.next = err, latest(k.next, began.Add(keeperRetry))
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Trouble returns why the last map could not be saved, and since when; nil if it is saved or waits.
func (k *MapKeeper) Trouble() (since time.Time, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.since, k.err
}
