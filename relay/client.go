package relay

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"nexd/mesh"
)

// Token admits a node to a relay and says where it is.
type Token struct {
	Text    string
	Expires time.Time
	URL     string // of the relay: https://HOST/v1/relay
	UDP     string // HOST:PORT at which the same relay takes datagrams; empty = it does not
}

// Config is what a Client needs.
type Config struct {
	Token   func(context.Context) (Token, error)   // asks the service; called when the last one is half over, too
	Key     mesh.PrivateKey                        // of the node
	Receive func(from mesh.Key, packets ...[]byte) // gets what comes in, in order; never called twice at a time, must return soon and not keep packets
	HTTP    *http.Client                           // the way to the relay, with its trust and proxies (control.Client.HTTP); nil = roots of the system, Proxy
	Proxy   func(*http.Request) (*url.URL, error)  // without HTTP; nil = from the environment
	Changed func(connected bool)                   // told when the connection is there or gone; must return at once; may be nil
	Logger  *slog.Logger                           // nil = discard

	// The rest is for tests and special surroundings; zero is right.
	URL         string        // instead of Token.URL
	PingEvery   time.Duration // 0 = 4 s
	PingTimeout time.Duration // silence after a ping at which a relay is dead; 0 = 3 s
	DialTimeout time.Duration // of connection and handshake; 0 = 8 s
	WaitMost    time.Duration // between attempts; 0 = 5 s
}

// Stats count data frames of a client since New.
type Stats struct {
	Sent, Received uint64
	Dropped        uint64 // did not fit, or there was no connection
	Refused        uint64 // came in and were no sealed packet, or no frame of this protocol
	Connects       uint64
	Datagrams      uint64 // that came from the relay by UDP
}

// Client keeps a node connected to its relay. Make it with New, run it with Run.
type Client struct {
	cfg   Config
	log   *slog.Logger
	queue *Queue
	probe chan struct{} // room for one: look now whether the relay lives

	sent, received, dropped, refused, connects, datagrams atomic.Uint64
	linked                                                atomic.Bool
	stuck                                                 atomic.Bool                // Send waited in vain
	udp                                                   atomic.Pointer[udpCarrier] // of the connection there is; nil = none

	mu    sync.Mutex
	token Token
	why   string // there is no connection
	rtt   time.Duration
}

// New makes a client. It sends nothing yet.
func New(cfg Config) (*Client, error) {
	if cfg.Token == nil || cfg.Receive == nil || cfg.Key.IsZero() {
		return nil, mesh.Errorf(mesh.Invalid, "relay: client without token source, receiver or key")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Changed == nil {
		cfg.Changed = func(bool) {}
	}
	for _, d := range []struct {
		at *time.Duration
		is time.Duration
	}{{&cfg.PingEvery, 4 * time.Second}, {&cfg.PingTimeout, 3 * time.Second}, {&cfg.DialTimeout, 8 * time.Second}, {&cfg.WaitMost, 5 * time.Second}} {
		if *d.at <= 0 {
			*d.at = d.is
		}
	}
	return &Client{cfg: cfg, log: cfg.Logger, queue: NewQueue(DataChunks, nil), probe: make(chan struct{}, 1), why: "not started"}, nil
}

// sendWait is how long Send waits for room in the queue at most.
const sendWait = 5 * time.Millisecond

// Send hands packets to the relay for a peer. Data goes out at once where datagrams
// pass, and Send then waits for nothing but the socket; else it is queued, and Send
// waits a moment for a full queue that moves. Without a connection only handshakes and
// probes wait for one, and what does not fit is dropped, the oldest first. An error says that these packets will not arrive; nil
// does not say that they will.
func (c *Client) Send(to mesh.Key, packets ...[]byte) error {
	data := true
	for _, p := range packets {
		switch ClassOf(p) {
		case NotSealed:
			return mesh.Errorf(mesh.Invalid, "relay: %d bytes that are no sealed packet", len(p))
		case Handshake:
			data = false
		}
	}
	n := uint64(len(packets))
	if data && !c.linked.Load() {
		c.dropped.Add(n)
		return mesh.Errorf(mesh.Unavailable, "relay: no connection")
	}
	c.sent.Add(n)
	if u := c.udp.Load(); data && u != nil && u.send(to, packets...) {
		return nil
	}
	if data {
		c.await()
	}
	c.dropped.Add(c.queue.PushAll(to, packets...))
	return nil
}

// await gives the connection a moment to take older data before more of it is queued.
// A connection that took nothing in one such moment is not waited for again until it
// does.
func (c *Client) await() {
	if c.stuck.Load() || !c.queue.Full() {
		return
	}
	t := time.NewTimer(sendWait)
	defer t.Stop()
	for c.queue.Full() {
		select {
		case <-c.queue.Room():
		case <-t.C:
			c.stuck.Store(true)
			return
		}
	}
}

// Datagrams says whether data goes to the relay in datagrams now.
func (c *Client) Datagrams() bool {
	u := c.udp.Load()
	return u != nil && u.Good()
}

// Connected says whether there is a connection, why not if there is none, and how
// long a ping to the relay and back last took.
func (c *Client) Connected() (ok bool, why string, rtt time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.why == "", c.why, c.rtt
}

// Probe makes the client look at once whether its connection still holds, by both
// carriers, or try again at once if there is none: for when the network has changed.
func (c *Client) Probe() {
	if u := c.udp.Load(); u != nil {
		u.doubt()
	}
	select {
	case c.probe <- struct{}{}:
	default:
	}
}

// Stats are the counters now.
func (c *Client) Stats() Stats {
	return Stats{Sent: c.sent.Load(), Received: c.received.Load(), Dropped: c.dropped.Load(), Refused: c.refused.Load(), Connects: c.connects.Load(), Datagrams: c.datagrams.Load()}
}

// Run keeps the connection until ctx ends.
func (c *Client) Run(ctx context.Context) error {
	defer c.queue.Close()
	httpc := c.cfg.HTTP
	if httpc == nil {
		tr := newTransport(c.cfg.Proxy)
		defer tr.CloseIdleConnections()
		httpc = &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	var wait backoff
	wait.most = c.cfg.WaitMost
	for {
		held, err := c.connect(ctx, httpc)
		if ctx.Err() != nil {
			c.setWhy("stopped")
			return nil
		}
		pause := wait.next(held, err)
		c.log.Debug("relay: no connection", "err", err, "again_in", pause)
		if !c.rest(ctx, pause) {
			c.setWhy("stopped")
			return nil
		}
	}
}

// rest waits, less if somebody calls Probe; false when ctx has ended.
func (c *Client) rest(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
	case <-c.probe:
	}
	return true
}

// connect makes one connection and lives with it. It says how long the connection
// was good and what ended it.
func (c *Client) connect(ctx context.Context, httpc *http.Client) (held time.Duration, err error) {
	tok, err := c.currentToken(ctx)
	up := false
	if err == nil {
		var s *session
		if s, err = c.open(ctx, httpc, tok); err == nil {
			start := time.Now()
			c.connects.Add(1)
			c.linked.Store(true)
			c.setWhy("")
			c.log.Info("relay connected", "url", s.url)
			c.cfg.Changed(true)
			up = true
			err = s.run(ctx)
			held = time.Since(start)
			c.linked.Store(false)
			c.queue.Reset()
			if ctx.Err() == nil { // else the node ends, and its sockets with it
				c.log.Info("relay connection ended", "url", s.url, "err", err)
			}
		}
	}
	c.setWhy(err.Error())
	if up { // however short: some clocks stand still meanwhile
		c.cfg.Changed(false)
	}
	var bye *byeError
	if errors.As(err, &bye) && (bye.reason == ByeDenied || bye.reason == ByeExpired) {
		c.setToken(Token{}) // of another service, or its clock is ahead: take a new one
	}
	return held, err
}

// currentToken is the token at hand or, if it is about to expire, another one.
func (c *Client) currentToken(ctx context.Context) (Token, error) {
	c.mu.Lock()
	tok := c.token
	c.mu.Unlock()
	if tok.Text != "" && time.Until(tok.Expires) > time.Minute {
		return tok, nil
	}
	return c.newToken(ctx)
}

func (c *Client) newToken(ctx context.Context) (Token, error) {
	tok, err := c.cfg.Token(ctx)
	if err != nil {
		return Token{}, err
	}
	if c.cfg.URL != "" {
		tok.URL = c.cfg.URL
	}
	if tok.Text == "" || tok.URL == "" || len(tok.Text) > MaxToken {
		return Token{}, mesh.Errorf(mesh.Unavailable, "relay: the service has no relay")
	}
	c.setToken(tok)
	return tok, nil
}

func (c *Client) setToken(t Token) { c.mu.Lock(); defer c.mu.Unlock(); c.token = t }
func (c *Client) setWhy(s string)  { c.mu.Lock(); defer c.mu.Unlock(); c.why = s }
func (c *Client) setRTT(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rtt = d
}

func newTransport(proxy func(*http.Request) (*url.URL, error)) *http.Transport {
	if proxy == nil {
		proxy = http.ProxyFromEnvironment
	}
	return &http.Transport{
		Proxy: proxy, TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: 10 * time.Second,
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}},
	}
}
