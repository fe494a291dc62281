package router

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"time"

	"nexd/internal/datagram"
)

// UDP takes one new UDP flow and returns at once. The flow lasts until it is idle for too long, the
// target refuses, its prefix is withdrawn or Run ends.
func (r *Router) UDP(uf UDPFlow) {
	f, ctx := r.admit("udp", uf, uf.Source(), uf.Destination(), r.cfg.Limits.UDPFlows, flows, uf.Drop)
	if f == nil {
		return
	}
	client, host := r.openUDP(ctx, f, uf)
	if client == nil {
		r.release(f, flows)
		return
	}
	f.open.Store(true)
	go r.forwardUDP(ctx, f, client, host)
}

// openUDP connects a host socket, which does not wait for the network, and accepts the flow. If
// it returns nil, the client has its answer already.
func (r *Router) openUDP(ctx context.Context, f *flow, uf UDPFlow) (client, host net.Conn) {
	if !r.takeSocket(f) {
		uf.Drop()
		return nil, nil
	}
	host, err := r.cfg.Dial(ctx, "udp", f.target.String())
	o := outcomeOf(err)
	r.note(f, o, err)
	if o != connected {
		answer(uf, o, uf.Refuse)
		return nil, nil
	}
	client, err = uf.Accept()
	if err != nil {
		r.cfg.Logger.Debug("router: udp flow not accepted", "peer", f.peer, "addr", f.target, "err", err)
		host.Close()
		return nil, nil
	}
	return client, host
}

// forwardUDP copies datagrams both ways until the flow is over.
func (r *Router) forwardUDP(ctx context.Context, f *flow, client, host net.Conn) {
	defer r.release(f, flows)
	hangup := func() { client.Close(); host.Close() }
	defer hangup()
	defer context.AfterFunc(ctx, hangup)()

	idle := datagram.NewIdleTimer(r.idleLimit(f), f.stop)
	defer idle.Stop()
	up := make(chan struct{})
	go func() {
		defer close(up)
		r.datagramsUp(f, idle, client, host)
		f.stop()
	}()
	r.datagramsDown(f, idle, client, host)
	f.stop()
	hangup()
	<-up
}

func (r *Router) idleLimit(f *flow) time.Duration {
	if f.isDNS() {
		return r.cfg.Limits.DNSIdle
	}
	return r.cfg.Limits.UDPIdle
}

// dnsAnswered is how long a flow to a name server lasts when every question is answered. Most
// clients ask each question from a new port.
const dnsAnswered = 2 * time.Second

func (f *flow) isDNS() bool { return f.target.Port() == 53 }

// asked is told of a question (1) or an answer (-1) on a flow to a name server.
func (r *Router) asked(f *flow, idle *datagram.IdleTimer, by int32) {
	if !f.isDNS() {
		return
	}
	limit := r.cfg.Limits.DNSIdle
	if f.questions.Add(by) <= 0 {
		limit = min(limit, dnsAnswered)
	}
	idle.SetLimit(limit)
}

// datagramsUp copies the client's datagrams until either conn closes or the target is gone.
func (r *Router) datagramsUp(f *flow, idle *datagram.IdleTimer, client, host net.Conn) {
	in := r.buffers.Receiver(client, drainErrors)
	for {
		buf, n, err := in.Next()
		if err != nil {
			return
		}
		idle.Touch()
		r.asked(f, idle, 1)
		_, err = host.Write(buf[:n])
		r.buffers.Put(buf)
		if err == nil {
			f.toTarget.Add(int64(n))
			r.count.toTarget.Add(uint64(n))
		} else if r.ends(f, client, err) {
			return
		}
	}
}

// maxErrors is how many errors in a row a host socket may report before its flow ends.
const maxErrors = 16

// datagramsDown copies the datagrams of the target.
func (r *Router) datagramsDown(f *flow, idle *datagram.IdleTimer, client, host net.Conn) {
	in := r.buffers.Receiver(host, drainErrors)
	for failed := 0; failed < maxErrors; {
		buf, n, err := in.Next()
		if err != nil {
			if failed++; r.ends(f, client, err) {
				return
			}
			continue
		}
		failed = 0
		idle.Touch()
		r.asked(f, idle, -1)
		_, err = client.Write(buf[:n])
		r.buffers.Put(buf)
		if err == nil {
			f.toClient.Add(int64(n))
			r.count.toClient.Add(uint64(n))
		} else if errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrClosedPipe) {
			return
		}
	}
}

// ends reports whether an error of the host socket ends the flow, and passes an ICMP error of the
// target on to the client. Any other error costs one datagram.
func (r *Router) ends(f *flow, client net.Conn, err error) bool {
	if closed(err) {
		return true
	}
	teller, _ := client.(UnreachableTeller)
	switch o := datagramOutcome(err); o {
	case refused:
		r.count.portUnreachable.Add(1)
		if teller != nil {
			teller.PortUnreachable()
		}
	case noHost, noNet:
		if teller != nil {
			teller.HostUnreachable()
		}
	default:
		return false
	}
	r.cfg.Logger.Debug("router: udp target gone", "peer", f.peer, "addr", f.target, "err", err)
	return true
}

func closed(err error) bool {
	return errors.Is(err, net.ErrClosed) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrClosedPipe) || errors.Is(err, os.ErrDeadlineExceeded)
}
