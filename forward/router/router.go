package router

import (
	"context"
	"net/netip"

	"nexd/internal/budget"
	"nexd/internal/datagram"
	"nexd/mesh"
)

// Router connects flows to advertised prefixes with sockets of the host. Its methods may be called
// from any goroutine. It drops flows that arrive while Run is not running.
type Router struct {
	cfg      Config
	flows    flowSet
	accounts *accounts
	health   *health
	echoes   *echoes
	buffers  datagram.Pool
	count    counters
	trouble  troubles
	notice   pingNotice
}

// New checks the configuration and makes a router, which does nothing until Run.
func New(cfg Config) (*Router, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Router{
		cfg:      cfg,
		flows:    flowSet{table: newTable(cfg.Advertisements, cfg.AllowLocal), flows: map[*flow]struct{}{}},
		accounts: newAccounts(cfg.Limits),
		health:   newHealth(cfg.Limits.DeadFor),
		echoes:   newEchoes(cfg.Ping),
	}, nil
}

// Run admits flows, finds out how it can ping targets, and blocks until ctx ends. Until it has
// found out, it answers no echo request. At the end it ends every flow and returns when all are
// gone. A router runs once.
func (r *Router) Run(ctx context.Context) error {
	if !r.flows.start() {
		return mesh.Errorf(mesh.Conflict, "router: Run was called before")
	}
	for _, a := range r.cfg.AllowLocal {
		r.cfg.Logger.Warn("router: local targets are open to the mesh", "allow", a.String(), "opens", a.Opens())
	}
	r.choosePing(ctx)
	r.tellPing(func(n *pingNotice) { n.prefixes = n.prefixes || len(r.cfg.Advertisements) > 0 })
	<-ctx.Done()
	r.flows.finish()
	return nil
}

// Set replaces the advertisements. Flows that the new ones do not allow end at once; all others
// continue.
func (r *Router) Set(advertised []mesh.Advertisement) {
	over := r.flows.replace(advertised)
	for _, f := range over {
		f.stop()
	}
	r.count.withdrawn.Add(uint64(len(over)))
	r.tellPing(func(n *pingNotice) { n.prefixes = n.prefixes || len(advertised) > 0 })
}

// Flows lists the current flows, the oldest first.
func (r *Router) Flows() []Flow { return r.flows.list() }

// A flow takes little memory until it opens a socket.
const (
	flowCost   = budget.Ping
	socketCost = budget.TCP - flowCost
)

// admit begins a flow and takes one from the peer's limit. If either fails, it answers the client and
// returns nil; at the limit it answers with atLimit. The caller releases every flow that it got.
func (r *Router) admit(protocol string, v verdict, src, dst netip.AddrPort, limit int, count func(*account) *int, atLimit func()) (*flow, context.Context) {
	if !r.cfg.Budget.Take(flowCost) {
		r.count.outcomes[exhausted].Add(1)
		atLimit()
		return nil, nil
	}
	f, ctx, o := r.flows.begin(protocol, r.cfg.PeerOf(src.Addr()), src, dst)
	if f == nil {
		r.cfg.Budget.Give(flowCost)
		r.turnAway(v, o, protocol, src, dst)
		return nil, nil
	}
	if !r.accounts.take(f.peer, limit, count) {
		defer r.flows.end(f)
		r.cfg.Budget.Give(flowCost)
		r.limit(f, limitOf(protocol), nil)
		atLimit()
		return nil, nil
	}
	return f, ctx
}

// takeSocket counts the socket that a flow is about to open, and its memory, unless the peer has its
// share or there is no memory left.
func (r *Router) takeSocket(f *flow) bool {
	if !r.accounts.takeSocket(f.peer) {
		r.limit(f, tooManySockets, nil)
		return false
	}
	if !r.cfg.Budget.Take(socketCost) {
		r.accounts.giveSocket(f.peer)
		r.count.outcomes[exhausted].Add(1)
		return false
	}
	f.socket = true
	return true
}

// release ends a flow that admit returned.
func (r *Router) release(f *flow, count func(*account) *int) {
	if f.socket {
		r.accounts.giveSocket(f.peer)
		r.cfg.Budget.Give(socketCost)
	}
	r.accounts.give(f.peer, count)
	r.flows.end(f)
	r.cfg.Budget.Give(flowCost)
}

// turnAway answers a flow that begin did not admit.
func (r *Router) turnAway(v verdict, o outcome, protocol string, src, dst netip.AddrPort) {
	if o == prohibited {
		r.count.prohibited.Add(1)
		r.cfg.Logger.Debug("router: prohibited", "protocol", protocol, "source", src, "addr", dst)
	}
	answer(v, o, nil)
}

// note counts the outcome of a dial, and reports when the host runs out of sockets.
func (r *Router) note(f *flow, o outcome, err error) {
	if o == exhausted {
		r.limit(f, noSocket, err)
		return
	}
	r.count.outcomes[o].Add(1)
	r.cfg.Logger.Debug("router: not connected", "protocol", f.protocol, "peer", f.peer, "addr", f.target, "outcome", o.String(), "err", err)
}
