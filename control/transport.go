package control

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	"nexd/internal/firstflight"
	"nexd/mesh"
)

// pinError means that the service's TLS key does not match the pin.
type pinError struct{ got, want Pin }

func (e *pinError) Error() string {
	return fmt.Sprintf("TLS key has pin %v, not %v", e.got, e.want)
}

// newTransport uses only HTTP/1.1, so every watch has its own connection and the next call
// never shares a dead one.
func newTransport(cfg Config) *firstflight.Transport {
	proxy := cfg.Proxy
	if proxy == nil {
		proxy = http.ProxyFromEnvironment
	}
	return firstflight.New(firstflight.Config{Dial: cfg.dialer, Logger: cfg.Logger, Base: &http.Transport{
		Proxy:                  proxy,
		TLSClientConfig:        tlsConfig(cfg),
		TLSHandshakeTimeout:    10 * time.Second,
		ResponseHeaderTimeout:  cfg.CallTimeout,
		IdleConnTimeout:        30 * time.Second,
		MaxIdleConnsPerHost:    2,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true,
	}})
}

// dialer makes connections with segments of at most mss bytes; 0 sets no limit.
func (cfg Config) dialer(mss int) firstflight.DialFunc {
	if cfg.DialContext != nil {
		return cfg.DialContext
	}
	return (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second, Control: func(network, address string, c syscall.RawConn) error {
		if cfg.Control != nil {
			if err := cfg.Control(network, address, c); err != nil {
				return err
			}
		}
		return firstflight.Limit(c, mss)
	}}).DialContext
}

// tlsConfig verifies the pin if there is one, otherwise against the roots; never both.
func tlsConfig(cfg Config) *tls.Config {
	tc := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: cfg.RootCAs, NextProtos: []string{"http/1.1"}}
	if want := cfg.URL.Pin; !want.IsZero() {
		tc.InsecureSkipVerify = true // VerifyConnection does it, also on resumed sessions
		tc.VerifyConnection = func(cs tls.ConnectionState) error {
			if len(cs.PeerCertificates) == 0 {
				return &pinError{want: want}
			}
			if got := PinOf(cs.PeerCertificates[0]); !got.Equal(want) {
				return &pinError{got: got, want: want}
			}
			return nil
		}
	}
	return tc
}

// explain returns the error of a failed request in one clear line.
func (c *Client) explain(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.DeadlineExceeded) {
		return c.errorf(mesh.Unavailable, "%w", cause)
	}
	if e := c.explainTLS(err); e != nil {
		return e
	}
	return c.explainNet(err)
}

func (c *Client) explainTLS(err error) error {
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
		return c.errorf(mesh.Denied, "its %w: another service answers there, or it got a new key; take a new join URL or registration key from whoever runs it (if it runs with --tls-cert, use them without the pin)", pin)
	case verify != nil && len(verify.UnverifiedCertificates) > 0 && !c.vouched(verify.UnverifiedCertificates):
		return c.strangerKey(PinOf(verify.UnverifiedCertificates[0]))
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return c.expired(invalid)
	case errors.As(err, &host):
		return c.errorf(mesh.Denied, "its certificate is for another name (%w); use that name, or a join URL with #pin=", host)
	case verify != nil:
		return c.errorf(mesh.Denied, "its certificate does not hold: %w", verify.Err)
	case errors.Is(err, http.ErrSchemeMismatch), errors.As(err, &record):
		return c.errorf(mesh.Invalid, "%w; check the port, or if the service runs without TLS write http://%s", ErrNoTLS, c.cfg.URL.Host)
	case errors.As(err, &alert):
		return c.errorf(mesh.Invalid, "refuses the TLS connection (%w); check host and port", alert)
	case strings.Contains(err.Error(), "malformed"):
		return c.errorf(mesh.Invalid, "does not speak HTTP; check the port, or write https://%s", c.cfg.URL.Host)
	}
	return nil
}

// vouched reports whether a trusted authority has signed the chain, for any name and any time.
func (c *Client) vouched(chain []*x509.Certificate) bool {
	between := x509.NewCertPool()
	for _, cert := range chain[1:] {
		between.AddCert(cert)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{Roots: c.cfg.RootCAs, Intermediates: between, CurrentTime: chain[0].NotBefore.Add(time.Second)})
	return err == nil
}

// strangerKey refuses a service whose certificate no trusted authority has signed, and explains
// how a person can verify the service: by comparing the fingerprint.
func (c *Client) strangerKey(seen Pin) error {
	known := c.cfg.URL
	known.Pin = seen
	return c.errorf(mesh.Denied, "its certificate is not signed by an authority this machine trusts. Its key has the fingerprint (SHA-256) %v. "+
		"Compare it, over a way you trust, with the pin= that nexservice prints when it starts. Only if every digit is the same, use the URL %v", seen, known)
}

func (c *Client) expired(invalid x509.CertificateInvalidError) error {
	cert, now := invalid.Cert, time.Now().UTC()
	if cert == nil {
		return c.errorf(mesh.Unavailable, "its certificate is not valid now; this machine's clock says %s", now.Format(time.RFC3339))
	}
	if now.Before(cert.NotBefore) {
		return c.errorf(mesh.Unavailable, "its certificate is valid only from %s on; this machine's clock says %s: is the clock right?",
			cert.NotBefore.UTC().Format(time.RFC3339), now.Format(time.RFC3339))
	}
	return c.errorf(mesh.Unavailable, "its certificate expired at %s; this machine's clock says %s: renew the certificate, or set the clock",
		cert.NotAfter.UTC().Format(time.RFC3339), now.Format(time.RFC3339))
}

func (c *Client) explainNet(err error) error {
	var dns *net.DNSError
	var op *net.OpError
	var mute *firstflight.Error
	via := ""
	if errors.As(err, &op) && op.Op == "proxyconnect" {
		via = "the HTTP proxy in HTTPS_PROXY or HTTP_PROXY "
	}
	at := c.cfg.URL.HostPort()
	switch {
	case errors.As(err, &dns):
		return c.errorf(mesh.Unavailable, "%shost name %q cannot be resolved: %s", via, dns.Name, dns.Err)
	case errors.Is(err, syscall.ECONNREFUSED):
		return c.errorf(mesh.Unavailable, "%srefuses the connection; does the service run at %s?", via, at)
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return c.errorf(mesh.Unavailable, "%sthere is no route to %s; is this machine online?", via, at)
	case errors.As(err, &mute):
		return c.errorf(mesh.Unavailable, "%s%w; a firewall on the way, or a program that is no nexservice, answers at %s", via, mute, at)
	case isTimeout(err):
		return c.errorf(mesh.Unavailable, "%s%s does not answer in time; a firewall may drop the packets", via, at)
	case errors.Is(err, syscall.ECONNRESET), strings.Contains(err.Error(), "EOF"):
		return c.errorf(mesh.Unavailable, "%sthe connection was cut before an answer came", via)
	case via != "":
		return c.errorf(mesh.Unavailable, "%sdoes not let the connection through: %w", via, op.Err)
	}
	return c.errorf(mesh.Unavailable, "%w", err)
}

func isTimeout(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}
