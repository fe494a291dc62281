package router

import (
	"context"
	"net/netip"

	"nexd/internal/splice"
)

// probePorts are asked when nothing better is at hand. One answer, yes or no,
// shows that the target lives.
var probePorts = [...]uint16{80, 443, 22, 7}

// tcpProbe takes a connection or a refusal as a sign of life. It is the last
// resort: a host that drops what it does not expect looks dead to it.
func (r *Router) tcpProbe(ctx context.Context, p probe) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	said := make(chan error, len(probePorts))
	for _, port := range probePorts {
		go func() { said <- r.knock(ctx, netip.AddrPortFrom(p.target, port)) }()
	}
	alive, verdict := false, error(nil)
	for range probePorts { // also those that were cancelled: none outlives us
		switch err := <-said; {
		case err == nil:
			alive = true
			cancel()
		case verdict == nil || judge(err) != silent && judge(err) != abandoned:
			verdict = err
		}
	}
	if alive {
		return nil
	}
	return verdict
}

// knock is nil when the port answered at all.
func (r *Router) knock(ctx context.Context, to netip.AddrPort) error {
	c, err := r.cfg.Dial(ctx, "tcp", to.String())
	if err == nil {
		splice.Abort(c)
		return nil
	}
	if judge(err) == refused {
		return nil
	}
	return err
}
