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
	if err := k.save(k.waiting); err != nil {
		k.log.Warn("the network map could not be stored for a restart", "err", err)
	}
	k.waiting = nil
	k.next = time.Now().Add(keeperShare * time.Since(began))
}
