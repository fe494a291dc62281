package reflexive

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"nexd/internal/stun"
)

const (
	activeLife = 25 * time.Second // of an answer while peers have traffic; most NATs forget after 30 s
	idleLife   = 5 * time.Minute  // of an answer while no peer has traffic
	mutePause  = 5 * time.Second  // between turns without an answer while peers have traffic: UDP may pass at any moment
	tries      = 4                // requests to one server in a turn
	retryAfter = 400 * time.Millisecond
	renewGap   = 2 * time.Second // between turns that Renew begins
	maxServers = 8
)

// Mapped is the result: where STUN servers see this node's socket.
type Mapped struct {
	Addrs []netip.AddrPort // distinct addresses, IPv4 before IPv6
	// Mapping is what the NAT's mapping depends on. If it depends on the destination,
	// Addrs are of little use to peers. Where IPv4 and IPv6 differ, it is the mapping
	// that depends on more.
	Mapping  stun.Mapping
	Answered int  // servers that answered
	Blocked  bool // no server answered the last turn: UDP seems to be blocked
}

// Equal reports whether both results say the same.
func (m Mapped) Equal(o Mapped) bool {
	return m.Mapping == o.Mapping && m.Answered == o.Answered && m.Blocked == o.Blocked && slices.Equal(m.Addrs, o.Addrs)
}

// Client asks STUN servers in turns: a turn asks every server, and repeats the requests
// that stay unanswered. Its methods may be called from any goroutine. Moments count from
// any fixed start and are above 0.
type Client struct {
	mu       sync.Mutex // guards what follows
	servers  []netip.AddrPort
	requests map[stun.TxID]netip.AddrPort      // unanswered requests of this turn
	seen     map[netip.AddrPort]netip.AddrPort // server -> address in its last answer
	turn     time.Duration                     // moment this turn began; 0 = begin one at once
	tries    int                               // of this turn
	answered bool                              // a server answered in this turn
	told     Mapped                            // the last result that Changed returned
}

// New makes a client without servers.
func New() *Client {
	return &Client{requests: map[stun.TxID]netip.AddrPort{}, seen: map[netip.AddrPort]netip.AddrPort{}}
}

// SetServers sets the servers to ask; those beyond the eighth are ignored. Two ports or
// addresses of one service show whether the mapping depends on the destination.
func (c *Client) SetServers(servers []netip.AddrPort) {
	servers = servers[:min(len(servers), maxServers)]
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.Equal(c.servers, servers) {
		c.servers = servers
		c.restart()
	}
}

// Restart forgets all answers and begins a new turn, because this host's network
// changed.
func (c *Client) Restart() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.restart()
}

func (c *Client) restart() {
	c.turn, c.tries, c.answered = 0, 0, false
	clear(c.seen)
}

// Renew begins a new turn, because a NAT may have given this node another address. It
// does nothing and returns false if a turn began a moment ago.
func (c *Client) Renew(now time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.servers) == 0 || c.turn == 0 || now-c.turn < renewGap {
		return false
	}
	c.turn = 0
	return true
}

// Mapped is the last result.
func (c *Client) Mapped() Mapped {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.told
	m.Addrs = slices.Clone(m.Addrs)
	return m
}

// Requests returns the request to send to each server now, and the moment to call it
// again. active reports whether peers have traffic.
func (c *Client) Requests(now time.Duration, active bool) (out map[netip.AddrPort][]byte, next time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.servers) == 0 {
		return nil, now + idleLife
	}
	life := c.life(active)
	if c.turn == 0 || now-c.turn >= life {
		c.turn, c.tries, c.answered = now, 0, false
		clear(c.requests)
	}
	due := c.turn + time.Duration(c.tries)*retryAfter
	switch {
	case c.tries == tries || c.tries > 0 && len(c.requests) == 0:
		return nil, c.turn + life
	case now < due:
		return nil, due
	}
	unanswered := map[netip.AddrPort]bool{}
	if c.tries == 0 {
		for _, s := range c.servers {
			unanswered[s] = true
		}
	}
	for _, s := range c.requests {
		unanswered[s] = true
	}
	c.tries++
	out = map[netip.AddrPort][]byte{}
	for s := range unanswered {
		id := stun.NewTxID()
		c.requests[id] = s
		out[s] = stun.AppendRequest(nil, id)
	}
	return out, now + retryAfter
}

// life is the time between the beginnings of this turn and the next.
func (c *Client) life(active bool) time.Duration {
	switch {
	case active && c.tries == tries && len(c.requests) == tries*len(c.servers): // no server answered
		return mutePause
	case active || len(c.seen) == 0 || c.told.Blocked:
		return activeLife
	}
	return idleLife
}

// Answer takes a STUN message. It returns false if the message answers none of the
// client's requests.
func (c *Client) Answer(msg []byte, src netip.AddrPort) bool {
	r, err := stun.ParseResponse(msg)
	if err != nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	server, ok := c.requests[stun.TxID(r.ID)]
	if !ok || server != src {
		return false
	}
	for id, s := range c.requests {
		if s == server {
			delete(c.requests, id)
		}
	}
	c.seen[server], c.answered = r.Mapped, true
	return true
}

// Changed returns the result if it differs from the one that Changed returned last.
func (c *Client) Changed(now time.Duration) (Mapped, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.requests) > 0 && c.tries < 2 { // give the other servers the time of one try
		return Mapped{}, false
	}
	is := c.result()
	over := c.tries == tries && now-c.turn >= tries*retryAfter
	is.Blocked = !c.answered && len(c.servers) > 0 && (over || c.told.Blocked) // as before until the turn is over
	if is.Equal(c.told) {
		return Mapped{}, false
	}
	c.told = is
	return is, true
}

// result joins the last answers of all servers.
func (c *Client) result() (is Mapped) {
	var four, six []stun.Sight
	for _, s := range c.servers {
		a, ok := c.seen[s]
		if !ok {
			continue
		}
		is.Answered++
		if s.Addr().Is4() {
			four = append(four, stun.Sight{Server: s, Mapped: a})
		} else {
			six = append(six, stun.Sight{Server: s, Mapped: a})
		}
		if !slices.Contains(is.Addrs, a) {
			is.Addrs = append(is.Addrs, a)
		}
	}
	slices.SortFunc(is.Addrs, netip.AddrPort.Compare)
	is.Mapping = stun.MappingOf(four)
	if m6 := stun.MappingOf(six); !is.Mapping.Depends() && (m6.Depends() || !is.Mapping.Known()) {
		is.Mapping = m6
	}
	return is
}
