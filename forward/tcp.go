package forward

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"nexd/internal/accept"
	"nexd/internal/budget"
	"nexd/internal/splice"
)

// maxFailures is how many times in a row a listener may fail before it counts as broken. With
// the pauses in between that is half a minute. A shortage of descriptors does not count.
const maxFailures = 40

// serveTCP accepts clients until ctx ends or the listener breaks.
func (r *rule) serveTCP(ctx context.Context, ln net.Listener, offset uint16) error {
	var conns sync.WaitGroup
	defer conns.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // a broken listener ends its connections
	var backoff accept.Backoff
	for {
		c, err := ln.Accept()
		switch {
		case err == nil:
			backoff.Reset()
			conns.Go(func() { r.serveConn(ctx, c, offset) })
		case ctx.Err() != nil:
			return nil
		case accept.OfClient(err):
		case errors.Is(err, net.ErrClosed) || backoff.Failures() >= maxFailures && !accept.Shortage(err):
			return fmt.Errorf("forward: %s: accept on %v: %w", r.name(), ln.Addr(), cause(err))
		default: // a shortage may last, and open connections stay open meanwhile
			r.failed(fmt.Errorf("forward: %s: accept on %v: %w", r.name(), ln.Addr(), cause(err)), "forward: accepting pauses")
			backoff.Wait(ctx)
		}
	}
}

// serveConn connects one client to the target and copies both ways.
func (r *rule) serveConn(ctx context.Context, client net.Conn, offset uint16) {
	from := clientOf(client)
	if !r.admit(r.cfg.MaxConns, budget.TCP, "connections", from) {
		splice.Abort(client)
		return
	}
	defer r.leave(budget.TCP, from)
	splice.KeepAlive(client)
	target, _, err := r.dialTarget(ctx, offset)
	if err != nil {
		if ctx.Err() == nil {
			r.failed(err, "forward: target not reached")
		}
		splice.Abort(client)
		return
	}
	pipe := splice.Options{Idle: -1, HalfIdle: r.cfg.HalfOpen, AToB: &r.sent, BToA: &r.received}
	if _, _, err := pipe.Pipe(ctx, client, target); err != nil && ctx.Err() == nil {
		r.cfg.Logger.Debug("forward: connection broke", "rule", r.name(), "err", err)
	}
}
