package router

import (
	"context"
	"net"
	"time"

	"nexd/internal/splice"
)

// TCP judges one connection, and carries it on a goroutine of its own, which may
// wait for hours and so must not keep the stack that dialling made large. The
// target is dialled first; the client hears what the target said.
func (r *Router) TCP(tf TCPFlow) {
	src, dst := tf.Source(), tf.Destination()
	f, ctx, o := r.live.begin("tcp", r.cfg.PeerOf(src.Addr()), src, dst)
	if f == nil {
		r.turnAway(tf, o, "tcp", src, dst)
		return
	}
	if !r.accounts.take(f.peer, r.cfg.Limits.Conns, conns) {
		defer r.live.end(f)
		r.note(f, full, nil)
		tf.Refuse() // waiting would not help: say so at once
		return
	}
	client, host := r.joinTCP(ctx, f, tf)
	if host == nil {
		r.endTCP(f)
		return
	}
	go func() {
		defer r.endTCP(f)
		r.carryTCP(ctx, f, client, host)
	}()
}

func (r *Router) endTCP(f *flow) {
	r.accounts.give(f.peer, conns)
	r.live.end(f)
}

// joinTCP dials the target and answers the client accordingly. Without success
// both connections are nil.
func (r *Router) joinTCP(ctx context.Context, f *flow, tf TCPFlow) (client, host net.Conn) {
	host, o := r.dialTCP(ctx, f, tf.Done())
	if o != connected {
		tell(tf, o, tf.Refuse)
		return nil, nil
	}
	accept, cancel := context.WithTimeout(ctx, r.cfg.Limits.DialTimeout)
	defer cancel()
	client, err := tf.Accept(accept)
	if err != nil {
		r.cfg.Logger.Debug("router: client gone before its answer", "peer", f.peer, "addr", f.target, "err", err)
		splice.Abort(host)
		return nil, nil
	}
	splice.KeepAlive(client)
	f.open.Store(true)
	return client, host
}

// dialTCP asks the target, unless it is known not to answer, and gives up when
// the client does.
func (r *Router) dialTCP(ctx context.Context, f *flow, gone <-chan struct{}) (net.Conn, outcome) {
	last, dial, proven := r.health.ask(f.target)
	if !dial {
		r.count.cached.Add(1)
		return nil, last
	}
	place, ok := r.accounts.takeDial(f.peer, f.target, proven)
	if !ok {
		r.health.report(f.target, full, 0)
		r.note(f, full, nil)
		return nil, full
	}
	defer r.accounts.giveDial(place)

	ctx, cancel := context.WithTimeout(ctx, r.cfg.Limits.DialTimeout)
	defer watch(ctx, cancel, gone)()
	began := time.Now()
	host, err := r.cfg.Dial(ctx, "tcp", f.target.String())
	o := judge(err)
	r.health.report(f.target, o, time.Since(began))
	r.note(f, o, err)
	return host, o
}

// patience is how long a dial takes before anybody looks whether the client is
// still there: most are over by then.
const patience = 50 * time.Millisecond

// watch cancels ctx when gone is closed, after patience. The function it returns
// cancels too, and waits for the watching to end.
func watch(ctx context.Context, cancel context.CancelFunc, gone <-chan struct{}) func() {
	done := make(chan struct{})
	begin := time.AfterFunc(patience, func() {
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

// carryTCP copies until both sides are done.
func (r *Router) carryTCP(ctx context.Context, f *flow, client, host net.Conn) {
	defer time.AfterFunc(keepAliveAfter, func() { splice.KeepAlive(host) }).Stop()
	pipe := splice.Options{HalfIdle: r.cfg.Limits.HalfOpen, Idle: -1, AToB: &f.toTarget, BToA: &f.toClient}
	toTarget, toClient, err := pipe.Pipe(ctx, client, host)
	r.count.toTarget.Add(uint64(toTarget))
	r.count.toClient.Add(uint64(toClient))
	if err != nil && ctx.Err() == nil {
		r.cfg.Logger.Debug("router: connection broke", "peer", f.peer, "addr", f.target, "err", err)
	}
}
