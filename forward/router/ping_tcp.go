package router

import (
	"context"
	"net/netip"

	"nexd/internal/splice"
)

// probePorts are the TCP ports that are dialled when the host permits no ping. A connection or a
// refusal of any of them shows that the target is up.
var probePorts = [...]uint16{80, 443, 22, 7}

// tcpProbe returns nil if any of probePorts accepts or refuses a connection. It is the last resort,
// since a host whose firewall drops unexpected packets seems to be down.
func (r *Router) tcpProbe(ctx context.Context, p probe) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	said := make(chan error, len(probePorts))
	for _, port := range probePorts {
		go func() { said <- r.probePort(ctx, netip.AddrPortFrom(p.target, port)) }()
	}
	alive, verdict := false, error(nil)
	for range probePorts { // also for the cancelled ones, so that no goroutine is left
		switch err := <-said; {
		case err == nil:
			alive = true
			cancel()
		case verdict == nil || outcomeOf(err) != timedOut && outcomeOf(err) != abandoned:
			verdict = err
		}
	}
	if alive {
		return nil
	}
	return verdict
}

// probePort returns nil if the port accepts or refuses a connection.
func (r *Router) probePort(ctx context.Context, to netip.AddrPort) error {
	c, err := r.cfg.Dial(ctx, "tcp", to.String())
	if err == nil {
		splice.Abort(c)
		return nil
	}
	if outcomeOf(err) == refused {
		return nil
	}
	return err
}
