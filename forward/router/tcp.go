package router

import (
	"context"
	"net"
	"time"

	"nexd/internal/splice"
)

// TCP dials the target of one connection attempt and then answers the client with the outcome. A
// connection is copied on a goroutine of its own: it may last for hours and must not keep the
// stack that dialling made large.
func (r *Router) TCP(tf TCPFlow) {
	// At the limit the client gets a refusal: a retransmitted SYN would fare no better.
	f, ctx := r.admit("tcp", tf, tf.Source(), tf.Destination(), r.cfg.Limits.Conns, conns, tf.Refuse)
	if f == nil {
		return
	}
	client, host := r.joinTCP(ctx, f, tf)
	if host == nil {
		r.release(f, conns)
		return
	}
	go func() {
		defer r.release(f, conns)
		r.spliceTCP(ctx, f, client, host)
	}()
}

// joinTCP dials the target and answers the client accordingly. Both connections are nil if either
// step fails. The dial counts until the client has confirmed the answer: a client that floods the
// router with SYNs never does.
func (r *Router) joinTCP(ctx context.Context, f *flow, tf TCPFlow) (client, host net.Conn) {
	place, o := r.awaitDial(ctx, f, tf.Done())
	if o != connected {
		answer(tf, o, tf.Refuse)
		return nil, nil
	}
	defer func() { r.accounts.giveDial(place) }()
	if !r.takeSocket(f) {
		r.health.report(f.target, limited, 0)
		tf.Refuse() // a repeated SYN would fare no better
		return nil, nil
	}
	host, o = r.dialTCP(ctx, f, tf.Done())
	if o != connected {
		answer(tf, o, tf.Refuse)
		return nil, nil
	}
	place = r.accounts.proved(place, f.target)
	accept, cancel := context.WithTimeout(ctx, r.cfg.Limits.DialTimeout)
	defer cancel()
	client, err := tf.Accept(accept)
	if err != nil {
		r.cfg.Logger.Debug("router: client left before the target answered", "peer", f.peer, "addr", f.target, "err", err)
		splice.Abort(host)
		return nil, nil
	}
	splice.KeepAlive(client)
	f.open.Store(true)
	return client, host
}

// awaitDial reserves a dial, unless the target failed just now. Where the peer has too many
// incomplete connections to the target already, it waits for one of them, without a socket.
func (r *Router) awaitDial(ctx context.Context, f *flow, gone <-chan struct{}) (dial, outcome) {
	var wait *turn
	for {
		last, may, proven := r.health.ask(f.target)
		if !may {
			if wait != nil {
				r.accounts.leave(wait)
			}
			r.count.remembered.Add(1)
			return dial{}, last
		}
		place, next, ok := r.accounts.takeDial(f.peer, f.target, proven, wait)
		if ok {
			return place, connected
		}
		r.health.report(f.target, limited, 0) // there is no dial
		if next == nil {
			r.limit(f, tooManyDials, nil)
			return place, limited
		}
		wait = next
		if o := r.wait(ctx, wait, gone); o != connected {
			r.accounts.leave(wait)
			if o == limited {
				r.limit(f, tooManyDials, nil)
			}
			return place, o
		}
	}
}

// wait waits for a turn. Every other outcome than connected means that it has not come.
func (r *Router) wait(ctx context.Context, t *turn, gone <-chan struct{}) outcome {
	timeout := time.NewTimer(r.cfg.Limits.DialTimeout)
	defer timeout.Stop()
	select {
	case <-t.ready:
		return connected
	case <-timeout.C:
		return limited
	case <-gone:
	case <-ctx.Done():
	}
	return abandoned
}

// dialTCP dials the target and gives up when the client does.
func (r *Router) dialTCP(ctx context.Context, f *flow, gone <-chan struct{}) (net.Conn, outcome) {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Limits.DialTimeout)
	defer cancel()
	defer watch(ctx, cancel, gone)()
	began := time.Now()
	host, err := r.cfg.Dial(ctx, "tcp", f.target.String())
	o := outcomeOf(err)
	r.health.report(f.target, o, time.Since(began))
	r.note(f, o, err)
	return host, o
}

// watchAfter is how long a dial may take before the router starts to watch whether the client is
// still there. Most dials are done by then.
const watchAfter = 50 * time.Millisecond

// watch calls cancel when gone is closed, once watchAfter has passed. The returned function calls
// cancel too, and waits until the watch has ended.
func watch(ctx context.Context, cancel context.CancelFunc, gone <-chan struct{}) func() {
	done := make(chan struct{})
	begin := time.AfterFunc(watchAfter, func() {
		defer close(done)
		select {
		case <-gone:
			cancel()
		case <-ctx.Done():
		}
	})
	return func() {
		cancel()
		if !begin.Stop() {
			<-done
		}
	}
}

// keepAliveAfter is when the keepalive of a host socket is set: only a connection that lasts
// is worth the system calls.
const keepAliveAfter = 30 * time.Second

// spliceTCP copies both ways until both sides are done.
func (r *Router) spliceTCP(ctx context.Context, f *flow, client, host net.Conn) {
	defer time.AfterFunc(keepAliveAfter, func() { splice.KeepAlive(host) }).Stop()
	pipe := splice.Options{HalfIdle: r.cfg.Limits.HalfOpen, Idle: -1, AToB: &f.toTarget, BToA: &f.toClient}
	toTarget, toClient, err := pipe.Pipe(ctx, client, host)
	r.count.toTarget.Add(uint64(toTarget))
	r.count.toClient.Add(uint64(toClient))
	if err != nil && ctx.Err() == nil {
		r.cfg.Logger.Debug("router: connection broke", "peer", f.peer, "addr", f.target, "err", err)
	}
}
