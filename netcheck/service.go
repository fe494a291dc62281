package netcheck

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"time"
	"unicode"

	"nexd/control"
	"nexd/internal/firstflight"
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

// stranger returns the certificate of the server that answers in place of the service. The request
// reveals nothing but this host's address.
func (c *checker) stranger(ctx context.Context) *Certificate {
	own, ok := c.client.HTTP().Transport.(*firstflight.Transport)
	if !ok {
		return nil
	}
	tr := own.Base().Clone()
	defer tr.CloseIdleConnections()
	tr.TLSClientConfig = &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}} // only to read the certificate
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, c.cfg.URL.Base()+control.PathHealth, nil)
	if err != nil {
		return nil
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return nil
	}
	resp.Body.Close()
	if resp.TLS == nil || len(resp.TLS.PeerCertificates) == 0 {
		return nil
	}
	cert := resp.TLS.PeerCertificates[0]
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
