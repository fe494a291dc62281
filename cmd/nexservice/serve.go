package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"nexd/control"
	"nexd/internal/metrics"
	"nexd/internal/program"
	"nexd/mesh"
	"nexd/service"
	"nexd/service/hub"
	"nexd/service/people"
	"nexd/service/store"
	"nexd/service/web"
)

type serveCmd struct {
	Listen       string `help:"Listening address." default:":8443" placeholder:"ADDR"`
	PublicURL    string `name:"public-url" help:"URL at which nodes reach the service (default: the URL given to bootstrap, or the listening address)." placeholder:"URL"`
	HTTP         bool   `name:"http" help:"Serve plain HTTP; use it only behind a TLS proxy or on one machine."`
	TLSCert      string `name:"tls-cert" help:"Certificate chain in PEM to use instead of the service's own pinned key." placeholder:"FILE"`
	TLSKey       string `name:"tls-key" help:"Private key of --tls-cert in PEM." placeholder:"FILE"`
	OIDCIssuer   string `name:"oidc-issuer" help:"OpenID Connect provider for sign-in." placeholder:"URL"`
	OIDCClientID string `name:"oidc-client-id" help:"Client ID of this service at the provider; the redirect URL is PUBLIC-URL/login/oidc/sso/callback." placeholder:"ID"`
	OIDCSecret   string `name:"oidc-client-secret-file" help:"File with the client secret; leave it out for a public client." placeholder:"FILE"`
	OIDCName     string `name:"oidc-name" help:"Name of the provider on the sign-in page." default:"single sign-on" placeholder:"TEXT"`
	OIDCSignUp   bool   `name:"oidc-sign-up" help:"Let every user of the provider create an account without an invitation."`
	traversalFlags
	metricsFlags
	TrustedProxy []string `help:"Address or network of a trusted reverse proxy, whose X-Forwarded-For header is used; repeatable." placeholder:"CIDR"`

	public  *control.JoinURL
	trusted []netip.Prefix
}

func (s *serveCmd) Check(c *cli) (err error) {
	if s.HTTP && (s.TLSCert != "" || s.TLSKey != "") {
		plain, tlsFlag := program.Given(c.parsed, "http"), program.Given(c.parsed, "tls-cert") || program.Given(c.parsed, "tls-key")
		if plain == tlsFlag {
			return program.Usagef("--http and --tls-cert exclude each other")
		}
		if plain {
			s.TLSCert, s.TLSKey = "", "" // a flag overrides the environment
		} else {
			s.HTTP = false
		}
	}
	if (s.TLSCert == "") != (s.TLSKey == "") {
		return program.Usagef("--tls-cert and --tls-key belong together")
	}
	if _, port, err := net.SplitHostPort(s.Listen); err != nil || port == "" {
		return program.Usagef("--listen=%s is not of the form [HOST]:PORT", s.Listen)
	}
	if s.OIDCIssuer == "" && (s.OIDCClientID != "" || s.OIDCSecret != "" || s.OIDCSignUp) || s.OIDCIssuer != "" && s.OIDCClientID == "" {
		return program.Usagef("--oidc-issuer and --oidc-client-id belong together, and the other --oidc flags to them")
	}
	if err := s.checkTraversal(); err != nil {
		return err
	}
	if err := s.checkMetrics(); err != nil {
		return err
	}
	for _, t := range s.TrustedProxy {
		p, err := netip.ParsePrefix(t)
		if a, aerr := netip.ParseAddr(t); aerr == nil {
			p, err = mesh.HostPrefix(a), nil
		}
		if err != nil {
			return program.Usagef("--trusted-proxy=%s is neither an address nor a network", t)
		}
		s.trusted = append(s.trusted, p.Masked())
	}
	s.public, err = parsePublicURL(s.PublicURL)
	if err == nil && s.public != nil && s.public.Scheme == "http" && !s.HTTP {
		err = program.Usagef("--public-url is http:// but the service speaks TLS; write https://, or add --http")
	}
	return err
}

func (s *serveCmd) Run(ctx context.Context, c *cli) error {
	log := c.logger()
	commits := hub.NewNotifier()
	st, err := store.Open(ctx, c.dsn(), store.Options{Logger: log, OnCommit: commits.Notify, Create: true})
	if err != nil {
		return err
	}
	defer st.Close()
	meta, err := s.prepare(ctx, st)
	if err != nil {
		return err
	}
	cert, pin, err := s.certificate(meta)
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", s.Listen)
	if err != nil {
		return listenError(s.Listen, err)
	}
	defer ln.Close()
	nat, err := s.traversal(meta, log)
	if err != nil {
		return err
	}
	defer nat.close()
	prom, err := s.metrics(nat, log)
	if err != nil {
		return err
	}
	defer prom.Close()
	url := s.joinURL(meta, ln.Addr().(*net.TCPAddr).AddrPort(), pin)
	ppl, pages, err := s.pages(st, meta, url, c.std.In, log)
	if err != nil {
		return err
	}
	watchers, err := hub.New(hub.Config{Store: st, Notifier: commits, Logger: log, Removed: nat.removed})
	if err != nil {
		return err
	}
	svc, err := service.New(ctx, service.Config{
		Store: st, People: ppl, Pages: pages, Relay: nat.advertised(), Hub: watchers, Certificate: cert, TrustedProxies: s.trusted, Version: program.Version(), Logger: log,
	})
	if err != nil {
		return err
	}
	log.Info("listening", "addr", ln.Addr(), "db", c.dsn())
	if err := announce(ctx, c.std.Out, ppl, url); err != nil {
		return err
	}
	if err := serveAll(ctx, svc, ln, nat, prom); err != nil {
		return err
	}
	log.Info("stopped")
	return nil
}

// serveAll runs service, relay, STUN and metrics until ctx ends or the service fails.
func serveAll(ctx context.Context, svc *service.Service, ln net.Listener, nat *traversal, prom *metrics.Server) error {
	ctx, cancel := context.WithCancel(ctx)
	var tasks sync.WaitGroup
	defer tasks.Wait()
	defer cancel()
	tasks.Go(func() { nat.run(ctx) })
	tasks.Go(func() { prom.Run(ctx) })
	return svc.Serve(ctx, ln)
}

// announce prints on the console that the service is ready and, while there are no
// accounts, the set-up link.
func announce(ctx context.Context, out io.Writer, ppl *people.People, url control.JoinURL) error {
	link, err := ppl.NewSetupLink(ctx)
	if err != nil {
		return err
	}
	text := "ready " + url.String()
	if !url.Pin.IsZero() {
		text += " pin=" + url.Pin.String()
	}
	if strings.HasPrefix(link, "/") {
		link = url.Base() + link
	}
	if link != "" {
		text += "\nsetup " + link
	}
	_, err = fmt.Fprintln(out, text)
	return err
}

// prepare reads the service's keys and URL from the database, and makes them if the
// database is empty.
func (s *serveCmd) prepare(ctx context.Context, st *store.Store) (store.Meta, error) {
	meta, err := st.Meta(ctx)
	if mesh.KindOf(err) != mesh.NotFound {
		return meta, err
	}
	certPEM, keyPEM, err := service.NewTLSKey(time.Now())
	if err != nil {
		return meta, err
	}
	p := store.PrepareParams{TLSCert: certPEM, TLSKey: keyPEM}
	if s.public != nil {
		p.PublicURL = s.public.Base()
	}
	return st.Prepare(ctx, p)
}

// pages makes the pages and the rules of administration. Links begin with the public
// URL, never with what a request says; without a public URL they are paths.
func (s *serveCmd) pages(st *store.Store, meta store.Meta, url control.JoinURL, in io.Reader, log *slog.Logger) (*people.People, http.Handler, error) {
	public := meta.PublicURL
	if s.public != nil {
		public = s.public.Base()
	}
	ppl, err := people.New(people.Config{Store: st, Logger: log, PublicURL: public, Pin: url.Pin, OpenSignUp: s.OIDCSignUp})
	if err != nil {
		return nil, nil, err
	}
	cfg := web.Config{People: ppl, PublicURL: url.Base(), JoinURL: url.String(), ClientAddr: service.ClientAddr, Logger: log}
	if s.OIDCIssuer != "" {
		p := web.Provider{ID: "sso", Name: s.OIDCName, Issuer: s.OIDCIssuer, ClientID: s.OIDCClientID}
		if s.OIDCSecret != "" {
			if p.ClientSecret, err = readPassword(s.OIDCSecret, in); err != nil {
				return nil, nil, fmt.Errorf("--oidc-client-secret-file: %w", err)
			}
		}
		cfg.Providers = []web.Provider{p}
	}
	pages, err := web.New(cfg)
	return ppl, pages, err
}

// certificate is the TLS certificate: none, the one of --tls-cert, or the service's own.
// Only the service's own certificate has a pin.
func (s *serveCmd) certificate(meta store.Meta) (*tls.Certificate, control.Pin, error) {
	if s.HTTP {
		return nil, control.Pin{}, nil
	}
	if s.TLSCert == "" {
		if len(meta.TLSKey) == 0 {
			return nil, control.Pin{}, errors.New("the database holds no TLS key; give --tls-cert and --tls-key, or --http")
		}
		cert, pin, err := service.LoadTLS(meta.TLSCert, meta.TLSKey)
		return &cert, pin, err
	}
	certPEM, err := os.ReadFile(s.TLSCert)
	if err != nil {
		return nil, control.Pin{}, fmt.Errorf("--tls-cert: %w", err)
	}
	keyPEM, err := os.ReadFile(s.TLSKey)
	if err != nil {
		return nil, control.Pin{}, fmt.Errorf("--tls-key: %w", err)
	}
	cert, _, err := service.LoadTLS(certPEM, keyPEM)
	if err != nil {
		return nil, control.Pin{}, fmt.Errorf("--tls-cert=%s --tls-key=%s: %w", s.TLSCert, s.TLSKey, err)
	}
	return &cert, control.Pin{}, nil
}

// joinURL is the URL for nodes: the public URL if known, else the listening address.
func (s *serveCmd) joinURL(meta store.Meta, at netip.AddrPort, pin control.Pin) control.JoinURL {
	u := control.JoinURL{Scheme: "https", Host: hostFor(at)}
	if s.HTTP {
		u.Scheme = "http"
	}
	if s.public != nil {
		u = *s.public
	} else if p, err := control.ParseJoinURL(meta.PublicURL); err == nil && (p.Scheme == "https" || s.HTTP) {
		u = p
	}
	if u.Scheme == "https" {
		u.Pin = pin
	}
	return u
}

// hostFor is the listening address or, for an unspecified one, the address from which
// this machine sends.
func hostFor(at netip.AddrPort) string {
	if !at.Addr().IsUnspecified() {
		return netip.AddrPortFrom(at.Addr().Unmap(), at.Port()).String()
	}
	addr := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	if c, err := net.Dial("udp4", "192.0.2.1:9"); err == nil { // sends nothing
		if own, ok := c.LocalAddr().(*net.UDPAddr); ok {
			addr = own.AddrPort().Addr().Unmap()
		}
		c.Close()
	}
	return netip.AddrPortFrom(addr, at.Port()).String()
}

func listenError(addr string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%s is in use by another program; choose another with --listen", addr)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("not allowed to listen on %s; ports below 1024 need a privilege, choose another with --listen", addr)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%s is no address of this machine; choose another with --listen", addr)
	}
	return fmt.Errorf("%s", strings.TrimPrefix(err.Error(), "listen tcp: "))
}
