package control

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"nexd/internal/firstflight"
	"nexd/mesh"
)

// Errors of a scheme that does not fit the service. They are found with errors.Is.
var (
	ErrNotEncrypted = errors.New("the service URL is not encrypted") // http:// without Config.Insecure
	ErrNoTLS        = errors.New("does not speak TLS")               // https://, but the service speaks plain HTTP
)

// Config is what a Client needs.
type Config struct {
	URL      JoinURL         // with the pin, if there is one
	Key      mesh.PrivateKey // of the node
	Insecure bool            // allow an http:// URL
	Version  string          // of the program, for the User-Agent; may be empty
	Logger   *slog.Logger    // nil = discard

	// The rest is for tests and special environments; the zero value is right.
	RootCAs     *x509.CertPool                                          // nil = the system's
	Proxy       func(*http.Request) (*url.URL, error)                   // nil = from the environment
	Control     func(string, string, syscall.RawConn) error             // of every socket, before it connects; may be nil
	DialContext func(context.Context, string, string) (net.Conn, error) // instead of a net.Dialer with Control
	CallTimeout time.Duration                                           // of one call; 0 = 30 s
	Silence     time.Duration                                           // of the watch; 0 = SilenceLimit
}

const defaultCallTimeout = 30 * time.Second

// Client is one node's client of one service. It opens sessions with a proof of the node's
// key, and opens another one when a session has ended. Its methods are safe for concurrent
// use.
//
// Errors are one line that begins with the service's URL. Errors of kind mesh.Unavailable,
// mesh.Internal and mesh.Exhausted may be temporary; mesh.Denied, mesh.Invalid and
// mesh.Conflict last until somebody changes something.
type Client struct {
	cfg       Config
	http      *http.Client
	transport *firstflight.Transport
	log       *slog.Logger
	agent     string

	mu    sync.Mutex
	token string

	standBy atomic.Bool // the service knows StandBy
}

// NewClient returns a client. It sends nothing.
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
		return nil, mesh.Errorf(mesh.Invalid, "control: %w: %s; use https://", ErrNotEncrypted, cfg.URL.Base())
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

// Close closes idle connections. Calls in progress continue until their contexts end.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// Loss reports what does not pass on the way to the service, and in which form connections work.
// Since is zero if nothing is lost.
func (c *Client) Loss() firstflight.Loss { return c.transport.Loss() }

// URL is the URL of the service.
func (c *Client) URL() JoinURL { return c.cfg.URL }

// Register creates or updates the node at the service and opens a session. It fills in
// PublicKey and ServerPin of r.
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

// UpdateEndpoints sets the node's endpoints and returns those that peers receive. Call it
// again after each reconnect, because the service adds the source address of the
// connection.
func (c *Client) UpdateEndpoints(ctx context.Context, u EndpointUpdate) ([]netip.AddrPort, error) {
	var out EndpointAnswer
	err := c.call(ctx, http.MethodPut, PathEndpoints, u, &out)
	return out.Endpoints, err
}

// About returns the health of the service. It needs no session. Time is zero if the service
// is too old to send it.
func (c *Client) About(ctx context.Context) (Health, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.CallTimeout)
	defer cancel()
	var out Health
	if _, err := c.send(ctx, request{method: http.MethodGet, path: PathHealth}, &out); err != nil {
		return Health{}, err
	}
	return out, c.hosts(out.STUN)
}

// hosts adds the service's own host to every ":PORT".
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
