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

// Token admits a node to a relay and contains the relay's address.
type Token struct {
	Text    string
	Expires time.Time
	URL     string // of the relay: https://HOST/v1/relay
	UDP     string // HOST:PORT at which the same relay takes datagrams; empty = it does not
}

// Config configures a Client. Token, Key and Receive are required.
type Config struct {
	Token   func(context.Context) (Token, error)   // requests a token from the service; also called at half the lifetime of the last one
	Key     mesh.PrivateKey                        // of the node
	Receive func(from mesh.Key, packets ...[]byte) // receives packets in order; never called concurrently, must return soon and not keep packets
	HTTP    *http.Client                           // for the connection to the relay, with its trust and proxies (control.Client.HTTP); nil = system roots and Proxy
	Proxy   func(*http.Request) (*url.URL, error)  // used if HTTP is nil; nil = from the environment
	Changed func(connected bool)                   // called when the connection begins or ends; must return at once; may be nil
	Logger  *slog.Logger                           // nil = discard

	// The rest is for tests and special environments; zero takes the defaults.
	URL         string        // instead of Token.URL
	PingEvery   time.Duration // 0 = 4 s
	PingTimeout time.Duration // without an answer, after which a relay is dead; 0 = 3 s
	DialTimeout time.Duration // of connection and handshake; 0 = 8 s
	WaitMost    time.Duration // between attempts; 0 = 5 s
}

// Stats count the data frames of a client since New.
type Stats struct {
	Sent, Received uint64
	Dropped        uint64 // the queue was full, or there was no connection
	Refused        uint64 // received frames that were not sealed packets, or not frames of this protocol
	Connects       uint64
	Datagrams      uint64 // received from the relay over UDP
}

// Client keeps a node connected to its relay. Make it with New and run it with Run.
type Client struct {
	cfg   Config
	log   *slog.Logger
	queue *Queue
	probe chan struct{} // capacity 1: check the connection now

	sent, received, dropped, refused, connects, datagrams atomic.Uint64
	linked                                                atomic.Bool
	stuck                                                 atomic.Bool                // a Send waited without success
	udp                                                   atomic.Pointer[udpCarrier] // of the current connection; nil = none

	mu    sync.Mutex
	token Token
	why   string // why there is no connection; empty = there is one
	rtt   time.Duration
}

// New makes a client, which sends nothing until Run.
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

// sendWait is how long Send waits for room in the queue.
const sendWait = 5 * time.Millisecond

// Send sends packets to a peer through the relay. While datagrams pass, data leaves at once.
// Otherwise it is queued, and Send waits a moment if the queue is full but moving. Without a
// connection, handshakes and probes wait for one, and data is refused. A full queue drops its
// oldest packets. An error means that these packets will not arrive; nil does not mean that they
// will.
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

// await gives the connection a moment to take older data before more is queued. After a moment in
// which the connection took nothing, await does not wait again until it does.
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

// Datagrams reports whether data goes to the relay in datagrams now.
func (c *Client) Datagrams() bool {
	u := c.udp.Load()
	return u != nil && u.Good()
}

// Connected reports whether there is a connection, or why not, and the last round-trip time of a
// ping.
func (c *Client) Connected() (ok bool, why string, rtt time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.why == "", c.why, c.rtt
}

// URL is the relay's, of the last token; empty before the first one.
func (c *Client) URL() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.token.URL
}

// Probe makes the client check its connection at once, over WebSocket and UDP, or retry at once if
// there is none. It is called when the network has changed.
func (c *Client) Probe() {
	if u := c.udp.Load(); u != nil {
		u.doubt()
	}
	select {
	case c.probe <- struct{}{}:
	default:
	}
}

// Stats returns the counters as they are now.
func (c *Client) Stats() Stats {
	return Stats{Sent: c.sent.Load(), Received: c.received.Load(), Dropped: c.dropped.Load(), Refused: c.refused.Load(), Connects: c.connects.Load(), Datagrams: c.datagrams.Load()}
}

// Run keeps the client connected until ctx ends.
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

// rest waits until d has passed or Probe is called. It returns false when ctx has ended.
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

// connect makes one connection and serves it until it ends. It returns how long the connection
// lasted and why it ended.
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
			if ctx.Err() == nil { // otherwise the node ends and closes its sockets
				c.log.Info("relay connection ended", "url", s.url, "err", err)
			}
		}
	}
	c.setWhy(err.Error())
	if up { // even if the connection lasted no measurable time
		c.cfg.Changed(false)
	}
	var bye *byeError
	if errors.As(err, &bye) && (bye.reason == ByeDenied || bye.reason == ByeExpired) {
		c.setToken(Token{}) // the token is of another service, or that one's clock is ahead: request a new one
	}
	return held, err
}

// currentToken returns the last token or, if that is about to expire, a new one.
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
