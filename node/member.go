package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"nexd/control"
	"nexd/mesh"
	"nexd/node/state"
)

const (
	joinPatience  = 10 * time.Second // how long a first join waits for a service that may be starting
	heldPatience  = 2 * time.Minute  // how long a first join waits for the node that it replaces
	replacedWait  = 5 * time.Minute  // after another node with this key took over, with a service that does not know standing by (docs/protocol.md)
	standByEvery  = 8 * time.Second  // between looks whether the other node has gone
	endpointEvery = 10 * time.Second // between looks at this host's addresses
	endpointRest  = 300 * time.Millisecond
)

// member keeps a node joined to its organization: it registers, follows the watch and reconnects
// after every loss. It passes every event of the watch to events, on one goroutine.
type member struct {
	client   *control.Client
	state    *state.State
	register func() control.Registration // describes this node as it is now
	version  func() mesh.Version         // of the map in force
	events   func(control.Event) error
	approver *approver // asks a person about a first join without a key
	link     *link
	log      *slog.Logger

	kept   *mesh.NetworkMap // from an earlier run; nil once it is in force
	cached bool             // there was one, so this node works without the service
	known  bool             // joined in an earlier run

	recheck    chan struct{} // asks tellEndpoints to look now
	registered chan struct{} // closed when the service knows this node

	began    time.Time // when a first join began to wait for the service
	approval string    // of a person, not used yet
}

func newMember(cfg Config, svc *serviceChoice, st *state.State, self *endpoints, f *follower) *member {
	kept, err := st.LoadMap()
	if err != nil {
		cfg.Logger.Warn("the cached network map is ignored", "err", err)
	}
	fixed := svc.registration(cfg)
	return &member{
		client: svc.client, state: st, version: f.version, events: f.event, log: cfg.Logger,
		register: func() control.Registration {
			r := fixed
			r.Endpoints, r.ListenPort, r.NAT = self.all(), self.path.Port(), natOf(self.path.Mapped())
			return r
		},
		approver: &approver{client: svc.client, key: st.Key().Public(), show: cfg.Approve, log: cfg.Logger},
		link:     &link{url: svc.url.Base()},
		kept:     kept, cached: kept != nil, known: st.Node != "",
		recheck: make(chan struct{}, 1), registered: make(chan struct{}),
	}
}

// takeKept returns the map of an earlier run and forgets it.
func (m *member) takeKept() *mesh.NetworkMap {
	kept := m.kept
	m.kept = nil
	return kept
}

// run returns nil when ctx ends, and otherwise the reason why this node cannot stay joined.
func (m *member) run(ctx context.Context) error {
	var back control.Backoff
	m.began = time.Now()
	for {
		start := time.Now()
		err := m.connect(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if m.final(err, m.isRegistered()) {
			return err
		}
		if !m.known && !m.isRegistered() {
			if err := outOfPatience(err, time.Since(m.began)); err != nil {
				return err
			}
		}
		wait := back.Next(time.Since(start), err)
		m.link.lost(err, m.log)
		if control.ReasonOf(err) == control.ReasonReplaced {
			wait = replacedWait
			if m.client.CanStandBy() {
				m.standBy(ctx)
				continue
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// outOfPatience is the error that ends a first join which has failed with err for so long, or nil
// while it is worth trying again.
func outOfPatience(err error, tried time.Duration) error {
	switch held := control.ReasonOf(err) == control.ReasonHeld; {
	case held && tried > heldPatience:
		return err
	case !held && tried > joinPatience:
		return fmt.Errorf("node: %w: %w", ErrUnreachable, err)
	}
	return nil
}

// standBy waits until the agent that took over has gone, or asking fails for good. It begins soon,
// because the service then tells the other agent.
func (m *member) standBy(ctx context.Context) {
	for wait := time.Second; ; wait = standByEvery {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		free, err := m.client.StandBy(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			m.link.lost(err, m.log)
			if m.final(err, true) {
				return
			}
		case free:
			return
		}
	}
}

// connect registers and follows the watch until it ends.
func (m *member) connect(ctx context.Context) error {
	reg, err := m.join(ctx)
	if err != nil {
		return err
	}
	if err := m.joined(reg); err != nil {
		return err
	}
	return m.client.Watch(ctx, m.version(), func(e control.Event) error {
		m.link.up(m.log)
		if e.Type == control.EventTwin {
			m.link.twinSeen(m.log)
			return nil
		}
		return m.events(e)
	})
}

// join registers this node. A new node without a registration key asks a person. A node that
// was removed from its organization does not ask a person on its own.
func (m *member) join(ctx context.Context) (control.Registered, error) {
	r := m.register()
	r.Approval = m.approval
	reg, err := m.client.Register(ctx, r)
	switch {
	case err == nil:
		m.approval = ""
		return reg, nil
	case control.ReasonOf(err) != control.ReasonRegKeyNeeded || r.Approval != "":
		return reg, err
	case m.known || m.isRegistered():
		return reg, mesh.Errorf(mesh.Denied, "node: %w: %w", ErrRemoved, err)
	case m.approver.show == nil:
		return reg, err
	}
	if m.approval, err = m.approver.wait(ctx, r); err != nil {
		return reg, err
	}
	m.began = time.Now()
	return m.join(ctx)
}

// isRegistered reports whether this node has registered in this run.
func (m *member) isRegistered() bool {
	select {
	case <-m.registered:
		return true
	default:
		return false
	}
}

// joined stores the result of a registration.
func (m *member) joined(r control.Registered) error {
	if !m.isRegistered() {
		defer close(m.registered)
	}
	url := m.client.URL()
	if m.state.Node == r.Node.ID && m.state.Service != nil && *m.state.Service == url {
		return nil
	}
	m.state.Node, m.state.Service = r.Node.ID, &url
	m.log.Info("joined", "organization", r.Organization, "node", r.Node.Name, "addresses", r.Node.Addresses)
	return m.state.Save()
}

// final reports whether err ends the node: the node was removed, or its user must change
// something. A node with a cached map ends only by an answer of its service, never by an error
// on the way to it.
func (m *member) final(err error, registered bool) bool {
	switch control.ReasonOf(err) {
	case control.ReasonGone, control.ReasonRegKeyNeeded, control.ReasonRegKey, control.ReasonApproval,
		control.ReasonAccessDenied, control.ReasonExpiredToken:
		return true
	case control.ReasonReplaced:
		return false
	}
	if registered {
		return false
	}
	var answered *control.Error
	if m.cached && !errors.As(err, &answered) {
		return false
	}
	switch mesh.KindOf(err) {
	case mesh.Invalid, mesh.NotFound, mesh.Conflict, mesh.Denied:
		return true
	}
	return false
}

// recheckEndpoints makes tellEndpoints look at the endpoints soon.
func (m *member) recheckEndpoints() {
	select {
	case m.recheck <- struct{}{}:
	default:
	}
}

// tellEndpoints tells the service whenever the addresses of this node change. Changes that
// come together go in one call.
func (m *member) tellEndpoints(ctx context.Context) error {
	told := m.register()
	tick := time.NewTicker(endpointEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-m.recheck:
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(endpointRest):
			}
		}
		now := m.register()
		if !m.link.connected() || slices.Equal(now.Endpoints, told.Endpoints) && now.ListenPort == told.ListenPort && now.NAT == told.NAT {
			continue
		}
		_, err := m.client.UpdateEndpoints(ctx, control.EndpointUpdate{ListenPort: now.ListenPort, Endpoints: now.Endpoints, NAT: now.NAT})
		if err != nil {
			m.log.Debug("endpoints not told", "err", err)
			continue // the next tick or registration tries again
		}
		m.log.Info("endpoints changed", "endpoints", now.Endpoints, "nat", now.NAT)
		told = now
	}
}
