package router

import (
	"context"
	"net/netip"
	"sync"
	"time"
)

// Echo answers an echo request if the target answers an echo request too. It returns at once and
// answers later, when the result is known.
func (r *Router) Echo(req Echo) {
	src, dst := netip.AddrPortFrom(req.Source(), 0), netip.AddrPortFrom(req.Destination(), 0)
	f, ctx := r.admit("icmp", req, src, dst, r.cfg.Limits.Pings, pings, req.Drop)
	if f == nil {
		return
	}
	ask := &question{Echo: req, flow: f, done: func() { r.release(f, pings) }}
	switch m := r.echoes.method(f.target.Addr()); {
	case m.ping == nil: // Run has not chosen a method yet
		r.answerEcho(ask, abandoned)
	case m.shared:
		r.askTogether(ctx, m, ask)
	default:
		go r.askAlone(ctx, m, ask)
	}
}

// question is an echo request that waits for its answer.
type question struct {
	Echo
	flow *flow
	done func()
}

// askAlone pings the target with the sequence number and payload of this request.
func (r *Router) askAlone(ctx context.Context, m method, ask *question) {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Limits.PingTimeout)
	defer cancel()
	err := m.ping(ctx, probe{target: ask.flow.target.Addr(), seq: ask.Seq(), payload: ask.Payload()})
	r.answerEcho(ask, outcomeOf(err))
}

func (r *Router) answerEcho(ask *question, o outcome) {
	defer ask.done()
	if o == connected {
		r.count.echoReplied.Add(1)
		ask.Reply()
		return
	}
	r.count.echoFailed.Add(1)
	answer(ask, o, nil)
}

// echoes shares the work of expensive ping methods: all requests for a target that arrive while it
// is being pinged, or shortly after, get the same answer.
type echoes struct {
	mu     sync.Mutex
	v4, v6 method
	rounds map[netip.Addr]*round
}

// round is one ping of a target on behalf of several requests.
type round struct {
	waiting []*question
	over    bool
	said    outcome
	until   time.Time // how long the answer is valid, once over
}

// newEchoes uses ping for both address families, unless it is nil.
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

// join adds a question to the current round of its target, or returns the answer of a recent
// round. If there is neither, it makes a round, which the caller must conduct.
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

// conclude ends a round. Later requests get the same answer for the time given by serve, unless the
// outcome says nothing about the target.
func (e *echoes) conclude(target netip.Addr, o *round, said outcome, serve time.Duration) []*question {
	if said == abandoned || said == limited || said == exhausted {
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

// askTogether finds the answer to ask with as few pings as possible.
func (r *Router) askTogether(ctx context.Context, m method, ask *question) {
	said, answered, mine := r.echoes.join(ask)
	switch {
	case answered:
		r.count.echoShared.Add(1)
		r.answerEcho(ask, said)
	case mine == nil:
		r.count.echoShared.Add(1)
	default:
		go r.conduct(ctx, m, mine, ask)
	}
}

// conduct pings the target once for all questions of a round.
func (r *Router) conduct(ctx context.Context, m method, mine *round, ask *question) {
	peer, target := ask.flow.peer, ask.flow.target.Addr()
	said := limited
	if r.accounts.take(peer, max(r.cfg.Limits.PingPrograms/2, 1), programs) {
		ctx, cancel := context.WithTimeout(ctx, r.cfg.Limits.PingTimeout)
		said = outcomeOf(m.ping(ctx, probe{target: target, seq: ask.Seq(), payload: ask.Payload()}))
		cancel()
		r.accounts.give(peer, programs)
	} else {
		r.limit(ask.flow, tooManyPings, nil)
	}
	for _, q := range r.echoes.conclude(target, mine, said, r.cfg.Limits.EchoShareable) {
		r.answerEcho(q, said)
	}
}
