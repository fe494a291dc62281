package router

import (
	"context"
	"net/netip"
	"sync"
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

// choosePing decides once, for each family, how this host can ping.
func (r *Router) choosePing(ctx context.Context) {
	if r.cfg.Ping != nil {
		return
	}
	slots := make(chan struct{}, r.cfg.Limits.PingPrograms)
	v4 := r.bestPing(ctx, slots, netip.AddrFrom4([4]byte{127, 0, 0, 1}))
	v6 := r.bestPing(ctx, slots, netip.IPv6Loopback())
	r.echoes.use(v4, v6)
	r.tellPing(func(n *pingNotice) { n.v4, n.v6 = v4.name, v6.name })
}

// pingNotice is what the log line about pings waits for: a method for each family,
// and a prefix. A node that routes nothing logs nothing.
type pingNotice struct {
	mu             sync.Mutex
	v4, v6         string
	prefixes, told bool
}

// tellPing logs once how pings are answered.
func (r *Router) tellPing(change func(*pingNotice)) {
	n := &r.notice
	n.mu.Lock()
	change(n)
	ready, v4, v6 := !n.told && n.prefixes && n.v4 != "", n.v4, n.v6
	n.told = n.told || ready
	n.mu.Unlock()
	if !ready {
		return
	}
	msg := "router: answering pings"
	if v4 == tcpProbe || v6 == tcpProbe {
		msg = "router: answering pings with TCP probes: this user may not open ping sockets"
	}
	r.cfg.Logger.Info(msg, "ipv4", v4, "ipv6", v6)
}

// tcpProbe is the name of the method that asks TCP ports.
const tcpProbe = "tcp probe"

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
	return method{name: tcpProbe, shared: true, ping: inTurn(slots, r.tcpProbe)}
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
