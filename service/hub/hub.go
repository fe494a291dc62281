package hub

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"nexd/mesh"
	"nexd/service/store"
)

const (
	pollEvery    = 250 * time.Millisecond // the longest time between two polls of the database
	pollGap      = 50 * time.Millisecond  // the shortest,
	gapPerWatch  = 200 * time.Microsecond // … plus this for every watcher,
	maxGap       = time.Second            // … up to this
	reloadEvery  = 15 * time.Second       // refreshes the presence of nodes at other replicas
	touchEvery   = 30 * time.Second       // marks the nodes that watch here
	elsewhere    = 75 * time.Second       // a node marked more recently watches at another replica
	storeTimeout = 10 * time.Second
)

// Config is what a Hub needs.
type Config struct {
	Store    *store.Store
	Notifier *Notifier        // reports commits of this process; nil = polling alone
	Logger   *slog.Logger     // nil = discard
	Now      func() time.Time // nil = time.Now

	// Removed is told the keys that an organization no longer has, so that a relay
	// here need not wait for the end of their tokens. It must return soon. Nil = nobody
	// is told.
	Removed func(mesh.OrgID, mesh.Key)
}

// Hub keeps the newest frame of every organization that somebody follows here. Make
// it with New; its frames stay as they are unless Run runs.
type Hub struct {
	store    *store.Store
	notifier *Notifier
	log      *slog.Logger
	now      func() time.Time
	removed  func(mesh.OrgID, mesh.Key)

	mu   sync.Mutex
	orgs map[mesh.OrgID]*followed
	away bool // the database did not answer
}

// followed is one organization in the hub, guarded by the hub's mutex.
type followed struct {
	watchers    map[mesh.NodeID]*Watcher
	subscribers map[*Subscription]struct{}
	left        map[mesh.NodeID]time.Time // when watches that were here ended
	frame       *Frame
	polls       uint64        // how often the database was read, the poll under way included
	poll        uint64        // the poll that frame comes from
	loaded      time.Time     // when frame was last read from the database
	dirty       bool          // presence changed
	changed     chan struct{} // closed when frame or poll changes
}

// New makes a hub.
func New(cfg Config) (*Hub, error) {
	if cfg.Store == nil {
		return nil, mesh.Errorf(mesh.Invalid, "hub: no store")
	}
	return newHub(cfg), nil
}

func newHub(cfg Config) *Hub {
	if cfg.Notifier == nil {
		cfg.Notifier = NewNotifier()
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Removed == nil {
		cfg.Removed = func(mesh.OrgID, mesh.Key) {}
	}
	return &Hub{store: cfg.Store, notifier: cfg.Notifier, log: cfg.Logger, now: cfg.Now, removed: cfg.Removed, orgs: map[mesh.OrgID]*followed{}}
}

// followers is how many watchers and subscriptions there are.
func (h *Hub) followers() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for _, o := range h.orgs {
		n += len(o.watchers) + len(o.subscribers)
	}
	return n
}

// Run polls the database until ctx ends.
func (h *Hub) Run(ctx context.Context) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	touched := h.now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-h.notifier.c:
		}
		h.poll(ctx)
		if h.now().Sub(touched) >= touchEvery {
			touched = h.now()
			h.Touch(ctx, h.Watching())
		}
		select { // let changes gather
		case <-ctx.Done():
			return
		case <-time.After(min(pollGap+time.Duration(h.followers())*gapPerWatch, maxGap)):
		}
	}
}

// poll brings the frames of all followed organizations up to date.
func (h *Hub) poll(ctx context.Context) {
	polls := h.startPoll()
	if len(polls) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	revs, err := h.store.Revs(ctx)
	if err != nil {
		h.answered(ctx, err)
		return
	}
	var trouble error
	for org, p := range polls { // one that cannot be read does not keep the others waiting
		if err := h.refresh(ctx, org, p, revs[org]); err != nil {
			trouble = err
		}
	}
	h.answered(ctx, trouble)
}

// poll is one reading of the database for one organization. When the last follower
// left meanwhile and another came, the reading is not for the newcomer.
type poll struct {
	org *followed
	n   uint64
}

// startPoll numbers a poll of every followed organization. Who joins from now on
// waits for the next poll.
func (h *Hub) startPoll() map[mesh.OrgID]poll {
	h.mu.Lock()
	defer h.mu.Unlock()
	polls := make(map[mesh.OrgID]poll, len(h.orgs))
	for org, o := range h.orgs {
		o.polls++
		polls[org] = poll{o, o.polls}
	}
	return polls
}

// refresh brings one organization up to date. It holds no lock while it reads the
// database; only the goroutine of Run replaces frames.
func (h *Hub) refresh(ctx context.Context, org mesh.OrgID, p poll, revs store.Revs) error {
	o := p.org
	h.mu.Lock()
	if h.orgs[org] != o {
		h.mu.Unlock()
		return nil
	}
	old := o.frame
	stale := old == nil || old.version.Rev != revs.Map || old.endpointRev != revs.Endpoints || h.now().Sub(o.loaded) >= reloadEvery
	if !stale && !o.dirty && !o.awaited() {
		h.mu.Unlock()
		return nil
	}
	o.dirty = false
	h.mu.Unlock()

	next, err := h.build(ctx, org, old, stale)
	if err == nil && stale {
		for _, key := range old.lost(next) {
			h.removed(org, key)
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil {
		o.dirty = true
		return err
	}
	o.frame, o.poll = next, p.n
	if stale {
		o.loaded = h.now()
	}
	close(o.changed)
	o.changed = make(chan struct{})
	return nil
}

// awaited reports whether somebody waits for a frame newer than the one at hand.
func (o *followed) awaited() bool {
	for _, w := range o.watchers {
		if w.since >= o.poll {
			return true
		}
	}
	for s := range o.subscribers {
		if s.since >= o.poll {
			return true
		}
	}
	return false
}

func (h *Hub) build(ctx context.Context, org mesh.OrgID, old *Frame, stale bool) (*Frame, error) {
	if !stale {
		return old.withPresence(h.presenceOf(org))
	}
	snap, err := h.store.Snapshot(ctx, org)
	switch {
	case mesh.KindOf(err) == mesh.NotFound: // the organization was removed
		return &Frame{index: map[mesh.NodeID]int{}}, nil
	case err != nil:
		return nil, err
	}
	return newFrame(snap, old, h.presenceOf(org))
}

// answered logs, once per change, whether the database answers.
func (h *Hub) answered(ctx context.Context, err error) {
	if ctx.Err() != nil && context.Cause(ctx) == context.Canceled {
		return
	}
	h.mu.Lock()
	was := h.away
	h.away = err != nil
	h.mu.Unlock()
	switch {
	case err != nil && !was:
		h.log.Warn("database is not available; watchers keep their maps", "err", err)
	case err == nil && was:
		h.log.Info("database is available again")
	}
}
