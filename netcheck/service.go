package netcheck

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"time"
	"unicode"

	"nexd/control"
	"nexd/mesh"
)

// checkService sends two requests to the service. The first opens the connection, the second
// measures the round trip.
func (c *checker) checkService(ctx context.Context) control.Health {
	s := &c.report.Service
	s.URL, s.Trust = c.cfg.URL.Base(), "roots"
	switch {
	case c.cfg.URL.Scheme == "http":
		s.Trust = "none"
	case !c.cfg.URL.Pin.IsZero():
		s.Trust = "pin"
	}
	if u, err := url.Parse(s.URL); err == nil {
		if p, err := c.cfg.Proxy(&http.Request{URL: u}); err == nil && p != nil {
			s.Proxy = p.Redacted()
		}
	}
	var t tracer
	first, cancel := context.WithTimeout(ctx, c.cfg.Limit*7/10) // leaves time to look at a wrong certificate
	defer cancel()
	health, err := c.cfg.About(httptrace.WithClientTrace(first, t.trace()))
	s.DNS, s.Connect, s.TLS = t.took()
	c.home = t.addresses()
	if l := c.client.Loss(); !l.Since.IsZero() {
		s.Loss = &Loss{l.Size, l.Fits, l.IPv6, l.String()}
	}
	if err != nil {
		s.Error = strings.TrimPrefix(err.Error(), "control: ")
		if errors.Is(err, control.ErrNoTLS) {
			s.Error += ", and allow that with --insecure-http"
		}
		s.Reason = Reason(control.ReasonOf(err))
		if s.Reason == control.BarrierSilence || s.Reason == control.BarrierRefused || s.Reason == control.BarrierCut || s.Reason == control.BarrierMute {
			c.portal(ctx, s)
		}
		if mesh.KindOf(err) == mesh.Denied && c.cfg.URL.Scheme == "https" {
			s.Found = c.stranger(ctx)
		}
		return control.Health{}
	}
	s.Reachable = true
	asked := time.Now()
	again, err := c.cfg.About(ctx)
	if err != nil { // the first answer counts
		return health
	}
	rtt := time.Since(asked)
	s.RTT = ms(rtt)
	if !again.Time.IsZero() {
		skew := ms(again.Time.Sub(asked.Add(rtt / 2)))
		s.Skew = &skew
	}
	return again
}

// portal asks for a page of the service's host by plain HTTP, which a network with a login page
// answers itself.
func (c *checker) portal(ctx context.Context, s *Service) {
	host, _, err := net.SplitHostPort(c.cfg.URL.HostPort())
	if err != nil || s.Proxy != "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, "80")+control.PathHealth, nil)
	if err != nil {
		return
	}
	tr := &http.Transport{DisableKeepAlives: true}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return
	}
	resp.Body.Close()
	to, err := resp.Location()
	if err != nil || to.Hostname() == host {
		return
	}
	s.Reason = control.BarrierCaptive
	s.Error = "a page of this network answers in place of the service (HTTP redirects to " + printable(to.Redacted()) + "); open it in a browser and log in, then try again"
}

// stranger returns the certificate of the server that answers in place of the service.
func (c *checker) stranger(ctx context.Context) *Certificate {
	cert := c.client.Look(ctx).Cert
	if cert == nil {
		return nil
	}
	return &Certificate{Subject: printable(cert.Subject.String()), Issuer: printable(cert.Issuer.String()), Pin: control.PinOf(cert).String()}
}

// printable makes foreign text safe for a terminal.
func printable(s string) string {
	const most = 120
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	if r := []rune(s); len(r) > most {
		s = string(r[:most]) + "…"
	}
	return s
}
