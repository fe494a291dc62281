package agent

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"nexd/mesh"
)

const (
	keeperShare = 20          // of the time, one part in so many goes into keeping maps
	keeperLook  = time.Second // between looks at whether a map waits
)

// mapKeeper keeps the last network map on disk, for a start without the service.
// A large map takes a while to write, and where its nodes are changes all the time;
// so a map that comes too soon after another waits, and only the last one is kept.
type mapKeeper struct {
	save func(*mesh.NetworkMap) error
	log  *slog.Logger

	mu      sync.Mutex // held while a map is saved, or an older one could come last; guards what follows
	next    time.Time  // when the next one may be saved
	waiting *mesh.NetworkMap
}

// keep saves m, now or later. It keeps m.
func (k *mapKeeper) keep(m *mesh.NetworkMap) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.waiting = m
	if !time.Now().Before(k.next) {
		k.flush()
	}
}

// run saves maps that have waited, until ctx ends; then the last one.
func (k *mapKeeper) run(ctx context.Context) error {
	err := every(ctx, keeperLook, func() error {
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

// flush saves what waits. The caller holds mu.
func (k *mapKeeper) flush() {
	if k.waiting == nil {
		return
	}
	began := time.Now()
	if err := k.save(k.waiting); err != nil {
		k.log.Warn("the network map is not kept for a restart", "err", err)
	}
	k.waiting = nil
	k.next = time.Now().Add(keeperShare * time.Since(began))
}
