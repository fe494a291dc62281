package router

import (
	"context"
	"net/netip"
	"time"

	"golang.org/x/time/rate"

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
	shortage rate.Sometimes // limits the log lines about a shortage of sockets
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
		shortage: rate.Sometimes{Interval: 30 * time.Second},
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
	if o == exhausted {
		r.shortage.Do(func() {
			r.cfg.Logger.Warn("router: the host has no socket left; new flows are refused", "addr", f.target, "err", err)
		})
	}
	r.cfg.Logger.Debug("router: not connected", "protocol", f.protocol, "peer", f.peer, "addr", f.target, "outcome", o.String(), "err", err)
}
