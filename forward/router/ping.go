package router

import (
	"context"
	"net/netip"
)

// probe is one question whether target is alive.
type probe struct {
	target  netip.Addr
	seq     uint16
	payload []byte
}

// method is a way to ask.
type method struct {
	name   string
	shared bool // dear enough to share one answer among requests
	ping   func(ctx context.Context, p probe) error
}

// choosePing decides once how this host can ask, for each family, and says so.
func (r *Router) choosePing(ctx context.Context) {
	if r.cfg.Ping != nil {
		return
	}
	slots := make(chan struct{}, r.cfg.Limits.PingPrograms)
	v4 := r.bestPing(ctx, slots, netip.AddrFrom4([4]byte{127, 0, 0, 1}))
	v6 := r.bestPing(ctx, slots, netip.IPv6Loopback())
	r.echoes.use(v4, v6)
	r.cfg.Logger.Info("router: pings are passed on", "ipv4", v4.name, "ipv6", v6.name)
}

// bestPing is the most truthful method that works here: the kernel's ping
// socket, the ping program, or asking TCP ports. Self is asked to see whether
// the program works, which files on disk do not tell.
func (r *Router) bestPing(ctx context.Context, slots chan struct{}, self netip.Addr) method {
	if pingSocketWorks(self) {
		return method{name: "ping socket", ping: pingSocket}
	}
	if program := findPing(ctx, self); program != nil {
		return method{name: "ping program", shared: true, ping: inTurn(slots, program)}
	}
	return method{name: "tcp probe", shared: true, ping: inTurn(slots, r.tcpProbe)}
}

// inTurn lets as many pings run at a time as there are slots.
func inTurn(slots chan struct{}, ping func(context.Context, probe) error) func(context.Context, probe) error {
	return func(ctx context.Context, p probe) error {
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
			return ping(ctx, p)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
