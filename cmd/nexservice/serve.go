package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"nexd/control"
	"nexd/mesh"
	"nexd/service"
	"nexd/service/store"
)

type serveCmd struct {
	Listen       string   `help:"Address to listen on." default:":8443" placeholder:"ADDR"`
	PublicURL    string   `name:"public-url" help:"Where nodes reach the service (default: as given to bootstrap, else the listening address)." placeholder:"URL"`
	HTTP         bool     `name:"http" help:"Speak plain HTTP: only behind a proxy that speaks TLS, or on one machine."`
	TLSCert      string   `name:"tls-cert" help:"Certificate chain in PEM, instead of the service's own pinned key." placeholder:"FILE"`
	TLSKey       string   `name:"tls-key" help:"Key of --tls-cert in PEM." placeholder:"FILE"`
	TrustedProxy []string `help:"Address or network of a reverse proxy whose X-Forwarded-For is believed; repeatable." placeholder:"CIDR"`

	public  *control.JoinURL
	trusted []netip.Prefix
}

func (s *serveCmd) check(_ *cli, ctx *kong.Context) (err error) {
	if s.HTTP && (s.TLSCert != "" || s.TLSKey != "") {
		plain, tlsFlag := given(ctx, "http"), given(ctx, "tls-cert") || given(ctx, "tls-key")
		if plain == tlsFlag {
			return usagef("--http and --tls-cert exclude each other")
		}
		if plain {
			s.TLSCert, s.TLSKey = "", "" // a flag beats the environment's opposite
		} else {
			s.HTTP = false
		}
	}
	if (s.TLSCert == "") != (s.TLSKey == "") {
		return usagef("--tls-cert and --tls-key belong together")
	}
	if _, port, err := net.SplitHostPort(s.Listen); err != nil || port == "" {
		return usagef("--listen=%s is not of the form [HOST]:PORT", s.Listen)
	}
	for _, t := range s.TrustedProxy {
		p, err := netip.ParsePrefix(t)
		if a, aerr := netip.ParseAddr(t); aerr == nil {
			p, err = mesh.HostPrefix(a), nil
		}
		if err != nil {
			return usagef("--trusted-proxy=%s is neither an address nor a network", t)
		}
		s.trusted = append(s.trusted, p.Masked())
	}
	s.public, err = parsePublicURL(s.PublicURL)
	if err == nil && s.public != nil && s.public.Scheme == "http" && !s.HTTP {
		err = usagef("--public-url is http:// but the service speaks TLS; write https://, or add --http")
	}
	return err
}

func (s *serveCmd) run(ctx context.Context, c *cli, std streams) error {
	log := c.logger(std)
	bell := service.NewBell()
	st, err := store.Open(ctx, c.dsn(), store.Options{Logger: log, OnCommit: bell.Ring})
	if err != nil {
		return err
	}
	defer st.Close()
	meta, err := st.Meta(ctx)
	if err != nil {
		return err
	}
	cert, pin, err := s.certificate(meta)
	if err != nil {
		return err
	}
	svc, err := service.New(ctx, service.Config{
		Store: st, Bell: bell, Certificate: cert, TrustedProxies: s.trusted, Version: version(), Logger: log,
	})
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", s.Listen)
	if err != nil {
		return listenError(s.Listen, err)
	}
	url := s.joinURL(meta, ln.Addr().(*net.TCPAddr).AddrPort(), pin)
	log.Info("listening", "addr", ln.Addr(), "db", c.dsn())
	ready := "ready " + url.String()
	if !pin.IsZero() {
		ready += " pin=" + pin.String()
	}
	fmt.Fprintln(std.out, ready)
	if err := svc.Serve(ctx, ln); err != nil {
		return err
	}
	log.Info("stopped")
	return nil
}

// certificate is what the service shows: none, a given one, or its own with its
// pin. Only its own is known by a pin.
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

// joinURL is where nodes find the service, as well as it can tell.
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

// hostFor is the listening address, or for "any address" the one this machine
// uses outwards.
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
