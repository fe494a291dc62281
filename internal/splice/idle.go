package splice

import (
	"sync"
	"time"
)

// idleChecks is the number of checks per idle limit, so the end comes at most a quarter of
// the limit late.
const idleChecks = 4

// idleWatch ends a pipe that moves no data. It polls the counters.
type idleWatch struct {
	pipe       *pipe
	idle, half time.Duration

	mu      sync.Mutex
	stopped bool
	timer   *time.Timer
	seen    int64     // bytes and EOFs at the last change
	since   time.Time // of that change
}

// watchIdle starts the watch and returns the function that stops it.
func watchIdle(p *pipe, idle, half time.Duration) (stop func()) {
	if half == 0 {
		half = idle
	}
	if idle <= 0 && half <= 0 {
		return func() {}
	}
	w := &idleWatch{pipe: p, idle: idle, half: half, since: time.Now()}
	w.mu.Lock()
	w.timer = time.AfterFunc(w.period(), w.check)
	w.mu.Unlock()
	return w.stop
}

// period is the time between two checks: a fraction of the shorter limit.
func (w *idleWatch) period() time.Duration {
	d := w.idle
	if w.idle <= 0 || 0 < w.half && w.half < w.idle {
		d = w.half
	}
	return max(d/idleChecks, time.Millisecond)
}

func (w *idleWatch) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
	w.timer.Stop()
}

func (w *idleWatch) check() {
	if w.expired() {
		w.pipe.hangup(ErrIdle, true)
	}
}

func (w *idleWatch) expired() bool {
	eofs := int64(w.pipe.eofs.Load())
	now, seen := time.Now(), w.pipe.ab.moved.Load()+w.pipe.ba.moved.Load()+eofs
	limit := w.idle
	if eofs > 0 {
		limit = w.half
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped {
		return false
	}
	if seen != w.seen {
		w.seen, w.since = seen, now
	}
	if limit > 0 && now.Sub(w.since) >= limit {
		return true
	}
	w.timer.Reset(w.period())
	return false
}
