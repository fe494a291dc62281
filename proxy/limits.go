package proxy

import (
	"context"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/netip"
	"time"

	"nexd/internal/budget"
)

// Limits for polite refusals. A client beyond them is closed without an answer.
const (
	maxRefusals = 64
	refusalTime = time.Second
)

// admission reports whether a new client is admitted, or which limit it has reached.
type admission uint8

const (
	admitted admission = iota
	tooMany
	tooManyOfClient
	tooManyHandshakes
	noMemory
)

// String describes the limit, for the client and the log.
func (a admission) String() string {
	switch a {
	case tooManyOfClient:
		return "too many connections from this client"
	case tooManyHandshakes:
		return "too many handshakes at the moment"
	case noMemory:
		return "the memory limit is reached"
	}
	return "too many connections"
}

// enter counts a new client, or returns the limit that it has reached.
func (p *Proxy) enter(from netip.Addr) admission {
	if p.stats.active.Add(1) > int64(p.cfg.MaxConns) {
		p.stats.active.Add(-1)
		return tooMany
	}
	if p.stats.handshakes.Add(1) > int64(p.cfg.MaxHandshakes) {
		p.stats.handshakes.Add(-1)
		p.stats.active.Add(-1)
		return tooManyHandshakes
	}
	if !p.clients.Take(from, p.perClient(from)) {
		p.stats.handshakes.Add(-1)
		p.stats.active.Add(-1)
		return tooManyOfClient
	}
	if !p.cfg.Budget.Take(budget.TCP) {
		p.clients.Give(from)
		p.stats.handshakes.Add(-1)
		p.stats.active.Add(-1)
		return noMemory
	}
	return admitted
}

// perClient is how many connections an address may have. All programs of this host have the
// same address, so the default limit does not apply to them.
func (p *Proxy) perClient(from netip.Addr) int {
	if p.cfg.MaxPerClient > 0 {
		return p.cfg.MaxPerClient
	}
	if !from.IsValid() || from.IsLoopback() {
		return math.MaxInt
	}
	return DefaultMaxPerClient
}

// leave removes a client from the counts.
func (p *Proxy) leave(from netip.Addr) {
	p.stats.active.Add(-1)
	p.clients.Give(from)
	p.cfg.Budget.Give(budget.TCP)
}

// admit starts to serve a client, or tells it which limit is reached.
func (s *server) admit(ctx context.Context, conn net.Conn) {
	from := addrOf(conn.RemoteAddr())
	verdict := s.enter(from)
	if verdict == admitted {
		s.stats.accepted.Add(1)
		s.clients.Add(1)
		c := newClient(ctx, conn, func() {
			s.leave(from)
			s.clients.Done()
		}, func() { s.stats.handshakes.Add(-1) })
		s.crew.Go(func() { s.serveClient(ctx, c) })
		return
	}
	s.stats.refused.Add(1)
	s.clientsFull.Do(func() {
		s.log.Warn("proxy is at its limit; new clients are refused", "why", verdict.String(), "client", from,
			"limit", s.cfg.MaxConns, "handshakes", s.cfg.MaxHandshakes, "refused", s.stats.refused.Load())
	})
	if s.stats.refusing.Add(1) > maxRefusals {
		s.stats.refusing.Add(-1)
		conn.Close()
		return
	}
	s.clients.Add(1)
	c := newClient(ctx, conn, func() {
		s.stats.refusing.Add(-1)
		s.clients.Done()
	}, func() {})
	go c.refuse(verdict.String())
}

// refuse tells a client in its own protocol why it is not served. A client that sends nothing for
// refusalTime gets no answer.
func (c *client) refuse(why string) {
	c.SetDeadline(time.Now().Add(refusalTime))
	first, err := c.in.Peek(1)
	if err != nil {
		c.end()
		return
	}
	c.answer(refusalTime, refusal(first[0], why))
	c.dismiss()
}

// refusal returns the refusal in the protocol of the client: SOCKS5, SOCKS4 or HTTP.
func refusal(first byte, why string) []byte {
	switch {
	case first == socks5Version:
		return []byte{socks5Version, 0xff} // no acceptable method: the only refusal before the request
	case first == socks4Version:
		return socks4Reply(socks4Rejected, netip.AddrPort{})
	case !letter(first):
		return nil
	}
	return answerHTTP(http.StatusServiceUnavailable, "Retry-After: 5\r\n", explanation("This proxy cannot take you on now: %s.", why))
}

// answerHTTP returns a complete HTTP answer that ends the connection.
func answerHTTP(status int, headers, body string) []byte {
	return fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n%sConnection: close\r\n\r\n%s",
		status, http.StatusText(status), textPlain, len(body), headers, body)
}

func letter(b byte) bool { return 'A' <= b && b <= 'Z' || 'a' <= b && b <= 'z' }
