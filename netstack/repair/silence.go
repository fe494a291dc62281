package repair

import (
	"sync"
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/waiter"
)

const (
	askTick  = time.Second
	askAgain = 3 // ticks until a peer that does not answer is asked again
	askMost  = 4 // times; then the connection's own keepalive goes on
)

// askSilence are the silences, in ticks, after which a peer that answers is asked: the first after the
// last bytes, the next after the answer. Then the connection's own keepalive is enough.
var askSilence = [...]int{4, 8}

// asker asks the peers of connections that were used a moment ago and then fell silent whether they
// still know them. A peer that was killed and started again answers with a reset. Without the
// question, a connection that only receives would learn that from its keepalive, after a minute.
//
//	bytes ── 4 s of silence ──▶ asked ──▶ answered ── 8 s ──▶ asked ──▶ answered: not watched
//	                            asked ── 3 s ──▶ asked ── 3 s ──▶ asked … 4 times: not watched
//
// A question is a keepalive, which is why it costs the peer nothing to answer. A connection without
// bytes is not watched, and while none is, no timer runs.
type asker struct {
	mu     sync.Mutex // guards what follows
	flows  []*Flow    // watched
	timer  *time.Timer
	armed  bool
	closed bool
}

// States of silence.state.
const (
	unwatched = iota
	watched
	used // since the last tick
)

// silence is the state of one connection.
type silence struct {
	state atomic.Int32
	idle  atomic.Int64 // the connection's keepalive

	// Of the asker's timer while it watches:
	heard   uint64 // segments received
	left    int    // ticks until the peer is asked
	level   int    // questions answered
	asked   int    // questions not answered
	hastily bool   // the keepalive is to be set back
}

// KeepaliveIdle is the idle time of the connection's own keepalive.
func (f *Flow) KeepaliveIdle(d time.Duration) { f.silence.idle.Store(int64(d)) }

// use notes that bytes were read or written.
func (f *Flow) use() {
	s := &f.silence
	if s.state.Load() != used && s.state.Swap(used) == unwatched {
		s.level, s.asked, s.left = 0, 0, askSilence[0]
		f.r.asks.watch(f)
	}
}

func (a *asker) watch(f *Flow) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.flows = append(a.flows, f)
	a.arm()
}

// arm sets the timer; the caller holds mu.
func (a *asker) arm() {
	switch {
	case a.armed || a.closed:
		return
	case a.timer == nil:
		a.timer = time.AfterFunc(askTick, a.tick)
	default:
		a.timer.Reset(askTick)
	}
	a.armed = true
}

// tick looks at the watched connections.
func (a *asker) tick() {
	a.mu.Lock()
	flows := a.flows
	a.flows = nil
	a.mu.Unlock()
	keep := flows[:0]
	for _, f := range flows {
		if f.look() {
			keep = append(keep, f)
		}
	}
	clear(flows[len(keep):])
	a.mu.Lock()
	defer a.mu.Unlock()
	a.armed = false
	if a.flows = append(keep, a.flows...); len(a.flows) > 0 {
		a.arm()
	} else {
		a.flows = nil
	}
}

func (a *asker) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed, a.flows = true, nil
	if a.timer != nil {
		a.timer.Stop()
	}
}

// look asks the peer if it is time. It returns false if the connection needs no watch any more.
func (f *Flow) look() bool {
	s := &f.silence
	if s.hastily {
		s.hastily = false
		f.setKeepaliveIdle(time.Duration(s.idle.Load()))
	}
	if f.ep.Readiness(waiter.EventHUp) != 0 || !f.ep.SocketOptions().GetKeepAlive() {
		s.state.Store(unwatched)
		return false
	}
	ask, keep := s.tick(s.state.CompareAndSwap(used, watched), f.stats.SegmentsReceived.Value())
	if ask {
		s.hastily = true
		f.setKeepaliveIdle(time.Millisecond)
	}
	return keep || !s.state.CompareAndSwap(watched, unwatched)
}

// setKeepaliveIdle also starts the wait for the next keepalive anew.
func (f *Flow) setKeepaliveIdle(d time.Duration) {
	o := tcpip.KeepaliveIdleOption(d)
	f.ep.SetSockOpt(&o)
}

// tick is told whether bytes moved since the last tick, and how many segments have come.
func (s *silence) tick(moved bool, heard uint64) (ask, keep bool) {
	switch {
	case heard != s.heard: // bytes that only left a buffer show nothing of the peer
		if moved {
			s.level = 0
		} else if s.asked > 0 {
			s.level++
		}
		if s.level == len(askSilence) {
			return false, false
		}
		s.asked, s.left = 0, askSilence[s.level]
	default:
		if s.left--; s.left > 0 {
			break
		}
		if s.asked == askMost {
			return false, false
		}
		s.asked++
		s.left, ask = askAgain, true
	}
	s.heard = heard
	return ask, true
}
