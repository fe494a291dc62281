package control

import (
	"context"
	"crypto/x509"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"nexd/mesh"
)

// Config is what a Client needs.
type Config struct {
	URL      JoinURL         // with the pin, if there is one
	Key      mesh.PrivateKey // of the node
	Insecure bool            // allow an http:// URL
	Version  string          // of the program, for the User-Agent; may be empty
	Logger   *slog.Logger    // nil = discard

	// The rest is for tests and special surroundings; zero is right.
	RootCAs     *x509.CertPool                                          // nil = the system's
	Proxy       func(*http.Request) (*url.URL, error)                   // nil = from the environment
	DialContext func(context.Context, string, string) (net.Conn, error) // nil = net.Dialer
	CallTimeout time.Duration                                           // of one call; 0 = 30 s
	Silence     time.Duration                                           // of the watch; 0 = SilenceLimit
}

const defaultCallTimeout = 30 * time.Second

// Client speaks to one service as one node. It opens sessions by proving the
// node's key and opens another when one has ended. Its methods may be called
// from several goroutines.
//
// Errors are one line that begins with the service's URL. Of their kinds,
// mesh.Unavailable, mesh.Internal and mesh.Exhausted may pass; mesh.Denied,
// mesh.Invalid and mesh.Conflict stay until somebody changes something.
type Client struct {
	cfg       Config
	http      *http.Client
	transport *http.Transport
	log       *slog.Logger
	agent     string

	mu    sync.Mutex
	token string
}

// NewClient makes a client. It sends nothing yet.
func NewClient(cfg Config) (*Client, error) {
	if cfg.Key.IsZero() {
		return nil, mesh.Errorf(mesh.Invalid, "control: no node key")
	}
	return newClient(cfg)
}

func newClient(cfg Config) (*Client, error) {
	switch {
	case cfg.URL.Host == "":
		return nil, mesh.Errorf(mesh.Invalid, "control: no service URL")
	case cfg.URL.Scheme == "http" && !cfg.Insecure:
		return nil, mesh.Errorf(mesh.Invalid, "control: %s is not encrypted; use https://, or allow it with --insecure-http", cfg.URL.Base())
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.CallTimeout == 0 {
		cfg.CallTimeout = defaultCallTimeout
	}
	if cfg.Silence == 0 {
		cfg.Silence = SilenceLimit
	}
	c := &Client{cfg: cfg, log: cfg.Logger, agent: "nexd"}
	if cfg.Version != "" {
		c.agent += "/" + cfg.Version
	}
	c.transport = newTransport(cfg)
	c.http = &http.Client{
		Transport:     c.transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c, nil
}

// Close gives back idle connections. Calls under way go on; end them by their
// contexts.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// URL is the service the client speaks to.
func (c *Client) URL() JoinURL { return c.cfg.URL }

// Register makes the node known to the service, or brings a known one up to date,
// and opens a session. PublicKey and ServerPin of r are filled in.
func (c *Client) Register(ctx context.Context, r Registration) (Registered, error) {
	var out Registered
	err := c.proven(ctx, PathRegister, func(pin Pin) any {
		r.PublicKey, r.ServerPin = c.cfg.Key.Public(), pin
		return r
	}, &out)
	if err != nil {
		return Registered{}, err
	}
	if out.Node.ID == "" || out.Node.Key != c.cfg.Key.Public() || len(out.Node.Addresses) == 0 || out.Session.Token == "" {
		return Registered{}, c.errorf(mesh.Invalid, "the answer to the registration names no node, another key or no address")
	}
	c.setToken(out.Session.Token)
	return out, nil
}

// UpdateEndpoints sets where the node may be reached and says what peers are
// told. It should be called again after each reconnect, because the service adds
// the address it sees.
func (c *Client) UpdateEndpoints(ctx context.Context, u EndpointUpdate) ([]netip.AddrPort, error) {
	var out EndpointAnswer
	err := c.call(ctx, http.MethodPut, PathEndpoints, u, &out)
	return out.Endpoints, err
}

// About asks the service whether it works, and what it says about itself. It needs no
// session. Time is zero if the service is too old to send it.
func (c *Client) About(ctx context.Context) (Health, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.CallTimeout)
	defer cancel()
	var out Health
	if _, err := c.send(ctx, request{method: http.MethodGet, path: PathHealth}, &out); err != nil {
		return Health{}, err
	}
	return out, c.hosts(out.STUN)
}

// hosts puts the service's own host before every ":PORT".
func (c *Client) hosts(places ...[]string) error {
	host, _, err := net.SplitHostPort(c.cfg.URL.HostPort())
	if err != nil {
		return c.errorf(mesh.Invalid, "has no host: %w", err)
	}
	for _, list := range places {
		for i, at := range list {
			if strings.HasPrefix(at, ":") {
				list[i] = net.JoinHostPort(host, at[1:])
			}
		}
	}
	return nil
}

func (c *Client) currentToken() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.token
}

func (c *Client) setToken(token string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.token = token
}

func (c *Client) errorf(kind mesh.Kind, format string, args ...any) error {
	return mesh.Errorf(kind, "control: "+c.cfg.URL.Base()+": "+format, args...)
}
