package control

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"mime"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	"nexd/internal/firstflight"
	"nexd/mesh"
)

// Reasons of a Client's errors when it does not reach the service: what stands in the way. They
// never cross the wire; nexd netcheck --json shows them.
const (
	BarrierDNS         = "dns"                 // the host name has no address
	BarrierRoute       = "no_route"            // no route from this host, or not by this address family
	BarrierRefused     = "refused"             // nothing listens at the port
	BarrierSilence     = "no_answer"           // packets are dropped, or the host is away
	BarrierCut         = "cut"                 // the connection ended before an answer
	BarrierMute        = "tls_no_answer"       // the connection opens, TLS is not answered
	BarrierLoss        = "packets_lost"        // the connection opens, packets are not acknowledged, not even small ones
	BarrierProxy       = "proxy"               // the HTTP proxy cannot be reached
	BarrierProxyDenies = "proxy_refuses"       // it refuses CONNECT
	BarrierProxyAuth   = "proxy_password"      // it wants a user name and password
	BarrierClock       = "clock"               // of this host
	BarrierExpired     = "certificate_expired" // by the service's own clock too, as far as it is known
	BarrierAuthority   = "certificate_unknown" // no trusted authority has signed it
	BarrierName        = "certificate_name"    // it is for another name
	BarrierCert        = "certificate"         // anything else about it
	BarrierPin         = "pin"                 // another key than the pinned one
	BarrierCaptive     = "captive_page"        // a page of somebody else answers
	BarrierStranger    = "not_a_service"       // something answers that is no nexservice
	BarrierNoTLS       = "no_tls"              // plain HTTP or something else at an https URL
)

// barred is errorf with a Barrier… word.
func (c *Client) barred(kind mesh.Kind, barrier, format string, args ...any) error {
	return Errorf(kind, barrier, "control: "+c.cfg.URL.Base()+": "+format, args...)
}

// explain returns the error of a failed request in one clear line.
func (c *Client) explain(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.DeadlineExceeded) {
		return c.errorf(mesh.Unavailable, "%w", cause)
	}
	if e := c.explainTLS(ctx, err); e != nil {
		return e
	}
	return c.explainNet(err)
}

func (c *Client) explainTLS(ctx context.Context, err error) error {
	var (
		pin     *pinError
		invalid x509.CertificateInvalidError
		host    x509.HostnameError
		verify  *tls.CertificateVerificationError
		record  tls.RecordHeaderError
		alert   tls.AlertError
	)
	errors.As(err, &verify)
	switch {
	case errors.As(err, &pin):
		if page := c.Look(ctx).page(); page != "" {
			return c.captive(page)
		}
		return c.barred(mesh.Denied, BarrierPin, "its %w: another service answers there, or it got a new key; take a new join URL or registration key from whoever runs it (if it runs with --tls-cert, use them without the pin)", pin)
	case verify != nil && len(verify.UnverifiedCertificates) > 0 && !c.vouched(verify.UnverifiedCertificates):
		seen := c.Look(ctx)
		if page := seen.page(); page != "" {
			return c.captive(page)
		}
		return c.strangerKey(verify.UnverifiedCertificates[0], seen)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return c.expired(ctx, invalid)
	case errors.As(err, &host):
		if page := c.Look(ctx).page(); page != "" {
			return c.captive(page)
		}
		return c.barred(mesh.Denied, BarrierName, "its certificate is for another name (%w); use that name, or a join URL with #pin=", host)
	case verify != nil:
		return c.barred(mesh.Denied, BarrierCert, "its certificate does not hold: %w", verify.Err)
	case errors.Is(err, http.ErrSchemeMismatch), errors.As(err, &record):
		return c.barred(mesh.Invalid, BarrierNoTLS, "%w; check the port, or if the service runs without TLS write http://%s", ErrNoTLS, c.cfg.URL.Host)
	case errors.As(err, &alert):
		return c.barred(mesh.Invalid, BarrierStranger, "refuses the TLS connection (%w); check host and port", alert)
	case strings.Contains(err.Error(), "malformed"):
		return c.barred(mesh.Invalid, BarrierStranger, "does not speak HTTP; check the port, or write https://%s", c.cfg.URL.Host)
	}
	return nil
}

// vouched reports whether a trusted authority has signed the chain, for any name and any time. The
// authority may be younger than the certificate, or end before it.
func (c *Client) vouched(chain []*x509.Certificate) bool {
	between := x509.NewCertPool()
	for _, cert := range chain[1:] {
		between.AddCert(cert)
	}
	from, to := chain[0].NotBefore, chain[0].NotAfter
	for _, at := range []time.Time{from.Add(time.Second), from.Add(to.Sub(from) / 2), to.Add(-time.Second)} {
		if _, err := chain[0].Verify(x509.VerifyOptions{Roots: c.cfg.RootCAs, Intermediates: between, CurrentTime: at}); err == nil {
			return true
		}
	}
	return false
}

func (c *Client) captive(page string) error {
	return c.barred(mesh.Denied, BarrierCaptive, "a page of this network answers in place of the service (%s); open it in a browser and log in, then try again", page)
}

// strangerKey refuses a service whose certificate no trusted authority has signed, and explains
// how a person can verify the service: by comparing the fingerprint.
func (c *Client) strangerKey(cert *x509.Certificate, seen Seen) error {
	known, also := c.cfg.URL, ""
	known.Pin = PinOf(cert)
	now := time.Now()
	if !seen.Date.IsZero() {
		now = seen.Date
	}
	if now.After(cert.NotAfter) {
		also = " (and expired " + cert.NotAfter.UTC().Format(time.RFC3339) + ")"
	}
	return c.barred(mesh.Denied, BarrierAuthority, "its certificate is not signed by an authority this machine trusts%s. Its key has the fingerprint (SHA-256) %v. "+
		"Compare it, over a way you trust, with the pin= that nexservice prints when it starts. Only if every digit is the same, use the URL %v", also, known.Pin, known)
}

// expired finds out which is wrong, the certificate or this machine's clock. The server's own clock,
// which nobody vouches for, only decides what is said.
func (c *Client) expired(ctx context.Context, invalid x509.CertificateInvalidError) error {
	cert, now := invalid.Cert, time.Now().UTC()
	if cert == nil {
		return c.barred(mesh.Unavailable, BarrierExpired, "its certificate is not valid now; this machine's clock says %s", now.Format(time.RFC3339))
	}
	there := c.Look(ctx).Date.UTC()
	valid := !there.Before(cert.NotBefore) && !there.After(cert.NotAfter)
	said := now.Format(time.RFC3339)
	switch {
	case !there.IsZero() && valid:
		return c.barred(mesh.Unavailable, BarrierClock, "this machine's clock is %s: it says %s, the server's says %s; set the clock", offBy(there.Sub(now)), said, there.Format(time.RFC3339))
	case now.Before(cert.NotBefore):
		return c.barred(mesh.Unavailable, BarrierClock, "its certificate is valid only from %s on; this machine's clock says %s: it is %s at least, or the certificate is not in use yet",
			cert.NotBefore.UTC().Format(time.RFC3339), said, offBy(cert.NotBefore.Sub(now)))
	case !there.IsZero():
		return c.barred(mesh.Unavailable, BarrierExpired, "its certificate expired at %s, %s ago, also by the server's own clock; whoever runs the service must renew it", cert.NotAfter.UTC().Format(time.RFC3339), span(now.Sub(cert.NotAfter)))
	}
	return c.barred(mesh.Unavailable, BarrierExpired, "its certificate expired at %s; this machine's clock says %s: whoever runs the service must renew it, or the clock is wrong",
		cert.NotAfter.UTC().Format(time.RFC3339), said)
}

// offBy describes a clock that must be set by d.
func offBy(d time.Duration) string {
	if d < 0 {
		return span(-d) + " ahead"
	}
	return span(d) + " behind"
}

func span(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d days", int(d.Hours()/24))
	case d >= 2*time.Hour:
		return fmt.Sprintf("%d hours", int(d.Hours()))
	case d >= 2*time.Minute:
		return fmt.Sprintf("%d minutes", int(d.Minutes()))
	}
	return d.Round(time.Second).String()
}

// Seen is what answers at the service's address, whoever it is.
type Seen struct {
	Cert   *x509.Certificate // nil = nothing was seen
	Date   time.Time         // its clock; zero = not known
	Status int
	Type   string // of its content
	To     string // where it redirects to
}

// page describes a page for people, which no nexservice has at the path of its health; empty = none.
func (s Seen) page() string {
	switch {
	case s.Status >= 300 && s.Status < 400 && s.To != "":
		return "it redirects to " + s.To
	case s.Type == "text/html":
		return "it answers with HTML"
	}
	return ""
}

// lookTime bounds Look.
const lookTime = 2 * time.Second

// Look asks who answers at the service's address, without trusting the answer. It reveals nothing but
// this host's address.
func (c *Client) Look(ctx context.Context) (s Seen) {
	if ctx.Err() != nil {
		return s
	}
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	tr := c.transport.Base().Clone()
	defer tr.CloseIdleConnections()
	tr.TLSClientConfig.InsecureSkipVerify, tr.TLSClientConfig.VerifyConnection = true, nil // only to see it
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.cfg.URL.Base()+PathHealth, nil)
	if err != nil {
		return s
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return s
	}
	defer resp.Body.Close()
	s.Status, s.To = resp.StatusCode, clip(oneLine(resp.Header.Get("Location")))
	s.Type, _, _ = mime.ParseMediaType(resp.Header.Get("Content-Type"))
	s.Date, _ = http.ParseTime(resp.Header.Get("Date"))
	if resp.TLS != nil && len(resp.TLS.PeerCertificates) > 0 {
		s.Cert = resp.TLS.PeerCertificates[0]
	}
	return s
}

// proxyError is the answer of an HTTP proxy that does not connect to the service.
type proxyError struct {
	status string
	code   int
}

func (e *proxyError) Error() string { return e.status }

// proxyRefuses is http.Transport.OnProxyConnectResponse.
func proxyRefuses(_ context.Context, _ *url.URL, _ *http.Request, resp *http.Response) error {
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	return &proxyError{clip(oneLine(resp.Status)), resp.StatusCode}
}

func (c *Client) wantsPassword() error {
	via := c.Via()
	if via == "" { // a proxy that intercepts
		via = "an HTTP proxy on the way"
	}
	return c.barred(mesh.Denied, BarrierProxyAuth, "%s wants a user name and password; write them into HTTPS_PROXY as http://USER:PASSWORD@HOST:PORT, or put the service's host into NO_PROXY", via)
}

// Via describes the HTTP proxy on the way to the service, without its password, and where it is set;
// empty = none.
func (c *Client) Via() string {
	u, err := url.Parse(c.cfg.URL.Base())
	if err != nil || c.transport.Base().Proxy == nil {
		return ""
	}
	p, err := c.transport.Base().Proxy(&http.Request{URL: u})
	if err != nil || p == nil {
		return ""
	}
	from := "HTTP_PROXY"
	if u.Scheme == "https" {
		from = "HTTPS_PROXY"
	}
	if os.Getenv(from) == "" {
		from = strings.ToLower(from)
	}
	where := p.Host
	if ip := net.ParseIP(p.Hostname()); p.Hostname() == "localhost" || ip != nil && ip.IsLoopback() {
		where += " on this host, perhaps nexd's own proxy,"
	}
	return "the HTTP proxy " + where + " from " + from
}

func (c *Client) explainNet(err error) error {
	var (
		dns   *net.DNSError
		op    *net.OpError
		mute  *firstflight.Error
		proxy *proxyError
	)
	const remedy = "unset it, or put the service's host into NO_PROXY"
	if errors.As(err, &proxy) {
		if proxy.code == http.StatusProxyAuthRequired {
			return c.wantsPassword()
		}
		return c.barred(mesh.Unavailable, BarrierProxyDenies, "%s refuses to connect to the service: %w; %s", c.Via(), proxy, remedy)
	}
	if errors.As(err, &op) && op.Op == "proxyconnect" {
		return c.barred(mesh.Unavailable, BarrierProxy, "%s cannot be reached: %w; %s", c.Via(), op.Err, remedy)
	}
	at, via := c.cfg.URL.HostPort(), ""
	if p := c.Via(); p != "" {
		via = " (by " + p + ")"
	}
	switch {
	case errors.As(err, &dns) && dns.IsTimeout:
		return c.barred(mesh.Unavailable, BarrierDNS, "host name %q cannot be resolved: no DNS server answers", dns.Name)
	case errors.As(err, &dns):
		return c.barred(mesh.Unavailable, BarrierDNS, "host name %q cannot be resolved: %s", dns.Name, dns.Err)
	case errors.Is(err, syscall.ECONNREFUSED):
		return c.barred(mesh.Unavailable, BarrierRefused, "refuses the connection; does the service run at %s?", at)
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EADDRNOTAVAIL):
		return c.barred(mesh.Unavailable, BarrierRoute, "there is no route to %s%s; is this machine online?", at, familyOf(err))
	case errors.As(err, &mute) && mute.Lost:
		return c.barred(mesh.Unavailable, BarrierLoss, "%w%s; a firewall on the way drops packets to %s", mute, via, at)
	case errors.As(err, &mute):
		return c.barred(mesh.Unavailable, BarrierMute, "%w%s; a firewall on the way, or a program that is no nexservice, accepts connections at %s", mute, via, at)
	case isTimeout(err):
		return c.barred(mesh.Unavailable, BarrierSilence, "%s does not answer in time%s; a firewall may drop the packets", at, via)
	case errors.Is(err, syscall.ECONNRESET), strings.Contains(err.Error(), "EOF"):
		return c.barred(mesh.Unavailable, BarrierCut, "the connection was cut before an answer came%s; a firewall or a proxy may not admit TLS to %s", via, at)
	}
	return c.errorf(mesh.Unavailable, "%w", err)
}

// familyOf names the address family of a connection that was refused for want of a route.
func familyOf(err error) string {
	op, ok := errors.AsType[*net.OpError](err)
	if !ok {
		return ""
	}
	at, ok := op.Addr.(*net.TCPAddr)
	switch {
	case !ok:
		return ""
	case at.IP.To4() == nil:
		return " by IPv6"
	}
	return " by IPv4"
}

func isTimeout(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}
