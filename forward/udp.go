package forward

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"nexd/internal/accept"
	"nexd/internal/budget"
	"nexd/internal/datagram"
)

const (
	maxWaiting = 16          // datagrams kept for a client while its target is dialled
	failedFor  = time.Second // until the target of a client is dialled again after a failure
)

// A client of a name server mostly uses a port for one question. It is forgotten soon after the last
// answer; otherwise the limit of clients would limit the number of questions per minute.
const (
	dnsPort     = "53"
	dnsAnswered = 2 * time.Second  // after the last answer
	dnsAsked    = 20 * time.Second // while a question is open
)

// udpServer serves the clients of one packet conn.
//
//	client A ─┐            ┌─ target socket of A
//	client B ─┼─ one conn ─┼─ target socket of B     one goroutine each: dials, then
//	client C ─┘            └─ target socket of C     copies the answers back
type udpServer struct {
	rule   *rule
	offset uint16 // of the port in the rule's range
	conn   listenConn
	pool   datagram.Pool

	mu      sync.Mutex
	clients map[udpKey]*udpClient
}

// udpKey identifies a client: its address, and the address of the host that it sends to, if the
// host has several.
type udpKey struct {
	addr netip.AddrPort
	at   netip.Addr
}

// serveUDP reads datagrams until ctx ends or the conn breaks.
func (r *rule) serveUDP(ctx context.Context, pc net.PacketConn, offset uint16) error {
	s := &udpServer{rule: r, offset: offset, conn: adapt(pc), clients: map[udpKey]*udpClient{}}
	var clients sync.WaitGroup
	defer clients.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	buf := make([]byte, datagram.Size)
	var backoff accept.Backoff
	for {
		n, from, at, err := s.conn.Receive(buf)
		switch {
		case err == nil:
			backoff.Reset()
			c, fresh := s.client(udpKey{from, at})
			if fresh {
				clients.Go(func() { s.serve(ctx, c) })
			}
			if c != nil {
				s.toTarget(c, buf[:n])
			}
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed) || backoff.Failures() >= maxFailures:
			return fmt.Errorf("forward: %s: read on %v: %w", r.name(), pc.LocalAddr(), cause(err))
		default:
			backoff.Wait(ctx)
		}
	}
}

// udpClient is one client and its way to the target.
type udpClient struct {
	key  udpKey
	open atomic.Int64 // datagrams sent that no answer has come back for

	mu      sync.Mutex
	name    string              // of the target
	idle    *datagram.IdleTimer // set with name, before target
	dns     bool                // the target is a name server; set with name
	target  net.Conn            // nil until dialled and caught up with
	waiting [][]byte            // datagrams that came before that
	failed  bool                // there will be no target
}

// client returns the client with an address, and makes it if necessary. It returns nil when the
// rule has reached its limit.
func (s *udpServer) client(from udpKey) (c *udpClient, fresh bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.clients[from]; c != nil {
		return c, false
	}
	if !s.rule.admit(s.rule.cfg.MaxClients, budget.UDP, "UDP clients", from.addr.Addr().Unmap()) {
		return nil, false
	}
	c = &udpClient{key: from}
	s.clients[from] = c
	return c, true
}

func (s *udpServer) forget(c *udpClient) {
	s.mu.Lock()
	delete(s.clients, c.key)
	s.mu.Unlock()
	s.rule.leave(budget.UDP, c.key.addr.Addr().Unmap())
}

// toTarget sends one datagram to the target, or keeps it while the target is dialled.
func (s *udpServer) toTarget(c *udpClient, p []byte) {
	c.mu.Lock()
	target := c.target
	if target == nil && !c.failed && len(c.waiting) < maxWaiting {
		c.waiting = append(c.waiting, append(make([]byte, 0, len(p)), p...))
	}
	c.mu.Unlock()
	if target != nil {
		s.write(c, target, p)
	}
}

// write sends one datagram to the target. An error costs the datagram. The reader of the target sees
// errors that end the client.
func (s *udpServer) write(c *udpClient, target net.Conn, p []byte) {
	c.idle.Touch()
	if _, err := target.Write(p); err != nil {
		s.rule.targetFailed(c.targetName(), err)
		return
	}
	c.open.Add(1)
	s.updateLimit(c)
	s.rule.sent.Add(int64(len(p)))
}

// serve dials the target for a client and copies the answers back until both are idle.
func (s *udpServer) serve(ctx context.Context, c *udpClient) {
	defer s.forget(c)
	target, name, err := s.rule.dialTarget(ctx, s.offset)
	if err != nil {
		s.dialFailed(ctx, c, err)
		return
	}
	hangup := func() { target.Close() }
	defer hangup()
	defer context.AfterFunc(ctx, hangup)()
	_, port, _ := net.SplitHostPort(name)
	limit := s.rule.cfg.UDPIdle
	if port == dnsPort {
		limit = min(dnsAnswered, limit)
	}
	idle := datagram.NewIdleTimer(limit, hangup)
	defer idle.Stop()
	c.mu.Lock()
	c.name, c.idle, c.dns = name, idle, port == dnsPort
	c.mu.Unlock()
	s.sendWaiting(c, target)
	s.answers(c, target)
}

// dialFailed keeps a client for a moment after its target could not be dialled, so that not every
// datagram dials again.
func (s *udpServer) dialFailed(ctx context.Context, c *udpClient, err error) {
	if ctx.Err() != nil {
		return
	}
	s.rule.failed(err, "forward: target not reached")
	c.mu.Lock()
	c.failed, c.waiting = true, nil
	c.mu.Unlock()
	select {
	case <-ctx.Done():
	case <-time.After(failedFor):
	}
}

// sendWaiting sends the datagrams that were kept during the dial, and then sets the target.
func (s *udpServer) sendWaiting(c *udpClient, target net.Conn) {
	for {
		c.mu.Lock()
		waiting := c.waiting
		c.waiting = nil
		if len(waiting) == 0 {
			c.target = target
		}
		c.mu.Unlock()
		if len(waiting) == 0 {
			return
		}
		for _, p := range waiting {
			s.write(c, target, p)
		}
	}
}

// answers copies what the target sends back to the client.
func (s *udpServer) answers(c *udpClient, target net.Conn) {
	in := s.pool.Receiver(target, nil)
	for {
		buf, n, err := in.Next()
		if err != nil {
			s.rule.targetFailed(c.targetName(), err)
			return
		}
		c.idle.Touch()
		c.open.Add(-1)
		s.updateLimit(c)
		if err := s.conn.SendFrom(buf[:n], c.key.addr, c.key.at); err == nil {
			s.rule.received.Add(int64(n))
		}
		s.pool.Put(buf)
	}
}

// updateLimit gives the client of a name server a shorter idle limit once no question is open.
// It is called after each change of c.open.
func (s *udpServer) updateLimit(c *udpClient) {
	if !c.dns {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	limit := dnsAnswered
	if c.open.Load() > 0 {
		limit = dnsAsked
	}
	c.idle.SetLimit(min(limit, s.rule.cfg.UDPIdle))
}

func (c *udpClient) targetName() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.name
}

// targetFailed records an error of a UDP target, unless the socket was only closed. Further clients
// go to another target, if there is one.
func (r *rule) targetFailed(name string, err error) {
	if errors.Is(err, net.ErrClosed) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrClosedPipe) || errors.Is(err, os.ErrDeadlineExceeded) {
		return
	}
	if r.spec.More != "" {
		r.turns.mark(name, false)
	}
	r.failed(fmt.Errorf("forward: %s: %s: %w", r.name(), name, cause(err)), "forward: target not reached")
}
