package node

import (
	"log/slog"
	"sync"
	"time"

	"nexd/control"
)

// link is the state of the connection to the service. It logs each change once.
type link struct {
	url string

	mu    sync.Mutex
	on    bool
	ever  bool // connected, in this run
	since time.Time
	err   error
	twin  time.Time // when another agent with this node's key was last noticed, while this one is connected
}

// twinLife is how long a twin counts as running after the service has told of it: it asks every
// standByEvery.
const twinLife = 3 * standByEvery

// twinSeen notes that another agent runs with this node's key.
func (l *link) twinSeen(log *slog.Logger) {
	l.mu.Lock()
	told := time.Since(l.twin) < twinLife
	l.twin = time.Now()
	l.mu.Unlock()
	if !told {
		log.Warn("another agent is running with this node's key (copied state directory?); stop one of them")
	}
}

func (l *link) hasTwin() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Since(l.twin) < twinLife
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
	if control.ReasonOf(err) == control.ReasonHeld {
		what = "waiting for the node that this one replaces"
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

// state returns whether the node is connected, since when, and the last error.
func (l *link) state() (bool, time.Time, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.on, l.since, l.err
}
