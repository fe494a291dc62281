package router

import (
	"context"
	"net/netip"
)

// probe is one echo request to send to target.
type probe struct {
	target  netip.Addr
	seq     uint16
	payload []byte
}

// method is a way to ping targets.
type method struct {
	name   string
	shared bool // expensive, so that requests share one answer
	ping   func(ctx context.Context, p probe) error
}

// choosePing decides how this host can ping, for each address family, and logs it.
func (r *Router) choosePing(ctx context.Context) {
	if r.cfg.Ping != nil {
		return
	}
	slots := make(chan struct{}, r.cfg.Limits.PingPrograms)
	v4 := r.bestPing(ctx, slots, netip.AddrFrom4([4]byte{127, 0, 0, 1}))
	v6 := r.bestPing(ctx, slots, netip.IPv6Loopback())
	r.echoes.use(v4, v6)
	r.cfg.Logger.Info("router: forwards pings", "ipv4", v4.name, "ipv6", v6.name)
}

// bestPing returns the most reliable method that works here: the kernel's ping socket, the ping
// program, or a probe of TCP ports. It pings self to find out whether the program works, which its
// presence on disk does not show.
func (r *Router) bestPing(ctx context.Context, slots chan struct{}, self netip.Addr) method {
	if pingSocketWorks(self) {
		return method{name: "ping socket", ping: pingSocket}
	}
	if program := findPing(ctx, self); program != nil {
		return method{name: "ping program", shared: true, ping: inTurn(slots, program)}
	}
	return method{name: "tcp probe", shared: true, ping: inTurn(slots, r.tcpProbe)}
}

// inTurn limits the number of concurrent pings to the number of slots.
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
