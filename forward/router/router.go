package router

import (
	"context"
	"net/netip"
	"sync/atomic"
	"time"

	"nexd/internal/datagram"
	"nexd/mesh"
)

// Router carries flows to advertised prefixes on to the host's sockets. Its
// methods may be called from any goroutine; flows that come while Run is not
// running are dropped.
type Router struct {
	cfg      Config
	live     live
	accounts *accounts
	health   *health
	echoes   *echoes
	buffers  datagram.Pool
	count    counters
	complain gate
}

// New checks the configuration and makes a router. Nothing happens until Run.
func New(cfg Config) (*Router, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Router{
		cfg:      cfg,
		live:     live{table: newTable(cfg.Advertisements, cfg.AllowLocal), flows: map[*flow]struct{}{}},
		accounts: newAccounts(cfg.Limits),
		health:   newHealth(cfg.Limits.DeadFor),
		echoes:   newEchoes(cfg.Ping),
	}, nil
}

// Run lets flows in, finds out how pings can be sent (until then none is
// answered) and blocks until ctx ends. Then it ends every flow, and returns when all are gone. A router runs once.
func (r *Router) Run(ctx context.Context) error {
	if !r.live.start() {
		return mesh.Errorf(mesh.Conflict, "router: run: it ran before")
	}
	for _, a := range r.cfg.AllowLocal {
		r.cfg.Logger.Warn("router: local targets are open to the mesh", "allow", a.String(), "opens", a.Opens())
	}
	r.choosePing(ctx)
	<-ctx.Done()
	r.live.finish()
	return nil
}

// Set replaces the advertisements. Flows that the new ones do not allow end at
// once; all others stay.
func (r *Router) Set(advertised []mesh.Advertisement) {
	over := r.live.replace(advertised)
	for _, f := range over {
		f.stop()
	}
	r.count.withdrawn.Add(uint64(len(over)))
}

// Flows lists what is being carried now, the oldest first.
func (r *Router) Flows() []Flow { return r.live.list() }

// turnAway answers a flow that was not admitted.
func (r *Router) turnAway(v verdict, o outcome, protocol string, src, dst netip.AddrPort) {
	if o == prohibited {
		r.count.prohibited.Add(1)
		r.cfg.Logger.Debug("router: prohibited", "protocol", protocol, "source", src, "addr", dst)
	}
	tell(v, o, nil)
}

// note counts how a dial ended, and says so when the host runs out of something.
func (r *Router) note(f *flow, o outcome, err error) {
	r.count.outcomes[o].Add(1)
	if o == exhausted && r.complain.open(time.Now()) {
		r.cfg.Logger.Warn("router: the host has no socket left; new flows are refused", "addr", f.target, "err", err)
		return
	}
	r.cfg.Logger.Debug("router: not connected", "protocol", f.protocol, "peer", f.peer, "addr", f.target, "outcome", o.String(), "err", err)
}

// complainEvery keeps one cause from filling the log.
const complainEvery = 30 * time.Second

// gate opens once per complainEvery.
type gate struct{ next atomic.Int64 }

func (g *gate) open(now time.Time) bool {
	next := g.next.Load()
	return now.UnixNano() >= next && g.next.CompareAndSwap(next, now.Add(complainEvery).UnixNano())
}
