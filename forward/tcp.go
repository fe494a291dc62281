package forward

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"nexd/internal/accept"
	"nexd/internal/splice"
)

// maxFailures is how many times in a row a listener may fail, but for a shortage,
// before it counts as broken; with the pauses between them that is half a minute.
const maxFailures = 40

// serveTCP accepts until ctx ends or the listener breaks.
func (r *rule) serveTCP(ctx context.Context, ln net.Listener, offset uint16) error {
	var conns sync.WaitGroup
	defer conns.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // a broken listener takes its connections along
	for failures := 0; ; {
		c, err := ln.Accept()
		switch {
		case err == nil:
			failures = 0
			conns.Go(func() { r.carry(ctx, c, offset) })
		case ctx.Err() != nil:
			return nil
		case accept.OfClient(err):
		case errors.Is(err, net.ErrClosed) || failures >= maxFailures && !accept.Shortage(err):
			return fmt.Errorf("forward: %s: accept on %v: %w", r.name(), ln.Addr(), cause(err))
		default: // a shortage may last: what is open stays open
			failures++
			r.failed(fmt.Errorf("forward: %s: accept on %v: %w", r.name(), ln.Addr(), cause(err)), "forward: accepting pauses")
			pause(ctx, failures)
		}
	}
}

// pause waits a little longer with every failure, up to a second.
func pause(ctx context.Context, failures int) {
	select {
	case <-ctx.Done():
	case <-time.After(min(time.Duration(1<<min(failures, 10))*5*time.Millisecond, time.Second)):
	}
}

// carry brings one connection to the target and back.
func (r *rule) carry(ctx context.Context, client net.Conn, offset uint16) {
	from := clientOf(client)
	if !r.admit(r.cfg.MaxConns, "connections", from) {
		abort(client)
		return
	}
	defer r.leave(from)
	keepWatch(client)
	target, _, err := r.dialTarget(ctx, offset)
	if err != nil {
		if ctx.Err() == nil {
			r.failed(err, "forward: target not reached")
		}
		abort(client)
		return
	}
	pipe := splice.Options{Idle: -1, HalfIdle: r.cfg.HalfOpen, AToB: &r.sent, BToA: &r.received}
	if _, _, err := pipe.Pipe(ctx, client, target); err != nil && ctx.Err() == nil {
		r.cfg.Logger.Debug("forward: connection broke", "rule", r.name(), "err", err)
	}
}

// abort closes so that the other side sees a reset, not an orderly end.
func abort(c net.Conn) {
	if l, ok := c.(interface{ SetLinger(int) error }); ok {
		_ = l.SetLinger(0)
	}
	c.Close()
}

// keepWatch makes a client that vanished be noticed.
func keepWatch(c net.Conn) {
	if k, ok := c.(interface{ SetKeepAlivePeriod(time.Duration) error }); ok {
		_ = k.SetKeepAlivePeriod(keepAlive)
	}
	if k, ok := c.(interface{ SetKeepAlive(bool) error }); ok {
		_ = k.SetKeepAlive(true)
	}
}
