package router

import (
	"context"
	"net/netip"
	"sync"
	"time"
)

// Echo answers an echo request if the target answers the same question. It
// returns at once; the verdict comes when it is known.
func (r *Router) Echo(req Echo) {
	src, dst := netip.AddrPortFrom(req.Source(), 0), netip.AddrPortFrom(req.Destination(), 0)
	peer := r.cfg.PeerOf(src.Addr())
	f, ctx, o := r.live.begin("icmp", peer, src, dst)
	if f == nil {
		r.turnAway(req, o, "icmp", src, dst)
		return
	}
	if !r.accounts.take(peer, r.cfg.Limits.Pings, pings) {
		r.live.end(f)
		r.note(f, full, nil)
		req.Drop()
		return
	}
	ask := &question{Echo: req, flow: f, done: func() {
		r.accounts.give(peer, pings)
		r.live.end(f)
	}}
	switch m := r.echoes.method(f.target.Addr()); {
	case m.ping == nil: // not known yet
		r.answer(ask, abandoned)
	case m.shared:
		r.askTogether(ctx, m, ask)
	default:
		go r.askAlone(ctx, m, ask)
	}
}

// question is an echo request that waits for its verdict.
type question struct {
	Echo
	flow *flow
	done func()
}

// askAlone sends this very request: its sequence number, its payload.
func (r *Router) askAlone(ctx context.Context, m method, ask *question) {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Limits.PingTimeout)
	defer cancel()
	err := m.ping(ctx, probe{target: ask.flow.target.Addr(), seq: ask.Seq(), payload: ask.Payload()})
	r.answer(ask, judge(err))
}

func (r *Router) answer(ask *question, o outcome) {
	defer ask.done()
	if o == connected {
		r.count.echoReplied.Add(1)
		ask.Reply()
		return
	}
	r.count.echoFailed.Add(1)
	tell(ask, o, nil)
}

// echoes shares the work of methods that are dear: all requests for one target
// that come while it is being asked, or shortly after, get the one answer.
type echoes struct {
	mu     sync.Mutex
	v4, v6 method
	rounds map[netip.Addr]*round
}

// round is one asking of a target.
type round struct {
	waiting []*question
	over    bool
	said    outcome
	until   time.Time // how long the answer serves, once over
}

// newEchoes uses the given ping, if there is one, for both families.
func newEchoes(ping func(ctx context.Context, target netip.Addr, seq uint16, payload []byte) error) *echoes {
	e := &echoes{rounds: map[netip.Addr]*round{}}
	if ping != nil {
		m := method{name: "given", ping: func(ctx context.Context, p probe) error {
			return ping(ctx, p.target, p.seq, p.payload)
		}}
		e.v4, e.v6 = m, m
	}
	return e
}

func (e *echoes) use(v4, v6 method) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.v4, e.v6 = v4, v6
}

func (e *echoes) method(target netip.Addr) method {
	e.mu.Lock()
	defer e.mu.Unlock()
	if target.Is4() {
		return e.v4
	}
	return e.v6
}

// join adds a question to a round under way or takes its fresh answer. When
// neither exists it makes a round, which the caller must conduct.
func (e *echoes) join(ask *question) (said outcome, answered bool, conduct *round) {
	target, now := ask.flow.target.Addr(), time.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	if o := e.rounds[target]; o != nil && (!o.over || now.Before(o.until)) {
		if o.over {
			return o.said, true, nil
		}
		o.waiting = append(o.waiting, ask)
		return 0, false, nil
	}
	makeRoom(e.rounds, func(o *round) bool { return o.over && now.After(o.until) })
	o := &round{waiting: []*question{ask}}
	e.rounds[target] = o
	return 0, false, o
}

// conclude ends a round; its answer serves for a while, unless nothing was
// learned about the target.
func (e *echoes) conclude(target netip.Addr, o *round, said outcome, serve time.Duration) []*question {
	if said == abandoned || said == full || said == exhausted {
		serve = 0
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if serve == 0 && e.rounds[target] == o {
		delete(e.rounds, target)
	}
	waiting := o.waiting
	o.waiting, o.over, o.said, o.until = nil, true, said, time.Now().Add(serve)
	return waiting
}

// askTogether finds the answer for ask with as few probes as possible.
func (r *Router) askTogether(ctx context.Context, m method, ask *question) {
	said, answered, mine := r.echoes.join(ask)
	switch {
	case answered:
		r.count.echoTaken.Add(1)
		r.answer(ask, said)
	case mine == nil:
		r.count.echoTaken.Add(1)
	default:
		go r.conduct(ctx, m, mine, ask)
	}
}

// conduct asks the target once for all who wait.
func (r *Router) conduct(ctx context.Context, m method, mine *round, ask *question) {
	peer, target := ask.flow.peer, ask.flow.target.Addr()
	said := full
	if r.accounts.take(peer, max(r.cfg.Limits.PingPrograms/2, 1), programs) {
		ctx, cancel := context.WithTimeout(ctx, r.cfg.Limits.PingTimeout)
		said = judge(m.ping(ctx, probe{target: target, seq: ask.Seq(), payload: ask.Payload()}))
		cancel()
		r.accounts.give(peer, programs)
	} else {
		r.note(ask.flow, full, nil)
	}
	for _, q := range r.echoes.conclude(target, mine, said, r.cfg.Limits.EchoShareable) {
		r.answer(q, said)
	}
}
