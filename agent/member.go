package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"time"

	"nexd/control"
	"nexd/mesh"
)

// ErrUnreachable is what Run fails with when a node that never joined cannot
// reach its service.
var ErrUnreachable = errors.New("the service is unreachable")

const (
	joinPatience  = 10 * time.Second // how long a first join waits for a service that may be starting
	twinWait      = 5 * time.Minute  // after another agent with this key took over (docs/protocol.md)
	endpointEvery = 10 * time.Second // between looks at this host's addresses
	endpointRest  = 300 * time.Millisecond
)

// member keeps a node joined to its organization: it registers, follows the watch
// and comes back after every loss. Everything it learns goes to events, on one
// goroutine.
type member struct {
	client *control.Client
	self   func() control.Registration // what to say of this node now
	have   func() mesh.Version         // of the map at hand
	events func(control.Event) error
	joined func(control.Registered) error // after each registration
	asks   *approver                      // lets a person decide about a first join without a key
	known  bool                           // joined in an earlier run
	cached bool                           // a map from an earlier run is in force
	log    *slog.Logger
	link   *link
	again  chan struct{} // look at the endpoints now

	began    time.Time // of the patience with a service that does not answer a first join
	approval string    // a person's, not used up yet
}

// run returns nil when ctx has ended, else why this node cannot stay joined.
func (m *member) run(ctx context.Context) error {
	var back control.Backoff
	m.began = time.Now()
	registered := false
	for {
		start := time.Now()
		err := m.connect(ctx, &registered)
		if ctx.Err() != nil {
			return nil
		}
		if m.final(err, registered) {
			return err
		}
		if !m.known && !registered && time.Since(m.began) > joinPatience {
			return fmt.Errorf("%w: %w", ErrUnreachable, err)
		}
		wait := back.Next(time.Since(start), err)
		if control.ReasonOf(err) == control.ReasonReplaced {
			wait = twinWait
		}
		m.link.lost(err, m.log)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// connect registers and follows the watch until it ends.
func (m *member) connect(ctx context.Context, registered *bool) error {
	reg, err := m.register(ctx, *registered)
	if err != nil {
		return err
	}
	if err := m.joined(reg); err != nil {
		return err
	}
	*registered = true
	return m.client.Watch(ctx, m.have(), func(e control.Event) error {
		m.link.up(m.log)
		return m.events(e)
	})
}

// register makes this node known to the service. A node that never was in an
// organization and has no key lets a person decide; one that was removed from its
// organization does not come back by that way unasked.
func (m *member) register(ctx context.Context, registered bool) (control.Registered, error) {
	r := m.self()
	r.Approval = m.approval
	reg, err := m.client.Register(ctx, r)
	switch {
	case err == nil:
		m.approval = ""
		return reg, nil
	case control.ReasonOf(err) != control.ReasonRegKeyNeeded || r.Approval != "":
		return reg, err
	case m.known || registered:
		return reg, mesh.Errorf(mesh.Denied, "agent: this node was removed from its organization; to join again, use a registration key, "+
			"or use another --state-dir to join as a new node: %w", err)
	case m.asks.show == nil:
		return reg, err
	}
	if m.approval, err = m.asks.wait(ctx, r); err != nil {
		return reg, err
	}
	m.began = time.Now()
	return m.register(ctx, registered)
}

// final says whether err ends this agent: the node was removed, or its user has to
// change something. A node that has a map to live by is ended only by its
// service's own word, never by what stands between them.
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

// poke has the endpoints looked at soon.
func (m *member) poke() {
	select {
	case m.again <- struct{}{}:
	default:
	}
}

// endpoints tells the service whenever the addresses of this node change; what
// changes in a moment goes in one call.
func (m *member) endpoints(ctx context.Context) error {
	told := m.self()
	tick := time.NewTicker(endpointEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-m.again:
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(endpointRest):
			}
		}
		now := m.self()
		if !m.link.connected() || slices.Equal(now.Endpoints, told.Endpoints) && now.ListenPort == told.ListenPort && now.NAT == told.NAT {
			continue
		}
		_, err := m.client.UpdateEndpoints(ctx, control.EndpointUpdate{ListenPort: now.ListenPort, Endpoints: now.Endpoints, NAT: now.NAT})
		if err != nil {
			m.log.Debug("endpoints not told", "err", err)
			continue // the next tick, or the next registration, tells them
		}
		m.log.Info("endpoints changed", "endpoints", now.Endpoints, "nat", now.NAT)
		told = now
	}
}

// registration is what this node says of itself.
func (c *Config) registration(key control.RegKey, hostname string) control.Registration {
	r := control.Registration{
		RegKey: key.Secret(), Hostname: hostname, OS: runtime.GOOS, Version: clip(c.Version, control.MaxWord),
	}
	for _, a := range c.Advertise {
		r.Prefixes = append(r.Prefixes, a.Prefix)
	}
	return r
}

func clip(s string, most int) string { return s[:min(len(s), most)] }

// link is how the node stands with its service. It logs one line per change.
type link struct {
	url string

	mu    sync.Mutex
	on    bool
	ever  bool // connected, in this run
	since time.Time
	err   error
}

func (l *link) up(log *slog.Logger) {
	l.mu.Lock()
	was := l.on
	if !was {
		l.on, l.ever, l.since, l.err = true, true, time.Now(), nil
	}
	l.mu.Unlock()
	if !was {
		log.Info("service connected", "url", l.url)
	}
}

func (l *link) lost(err error, log *slog.Logger) {
	l.mu.Lock()
	told := !l.on && l.err != nil && err != nil && l.err.Error() == err.Error()
	what := "service lost; peers stay as they are, trying again"
	if !l.ever {
		what = "service not reached, trying again"
	}
	if l.on || l.since.IsZero() {
		l.since = time.Now()
	}
	l.on, l.err = false, err
	l.mu.Unlock()
	if !told {
		log.Warn(what, "url", l.url, "err", err)
	}
}

func (l *link) connected() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.on
}

// state is a copy: connected, since when, and the last error.
func (l *link) state() (bool, time.Time, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.on, l.since, l.err
}
