package control_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"nexd/control"
)

// proxyThat answers CONNECT with a status.
func proxyThat(t *testing.T, status int) func(*http.Request) (*url.URL, error) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(status) }))
	t.Cleanup(s.Close)
	return func(*http.Request) (*url.URL, error) { return url.Parse(s.URL) }
}

// Each thing that stops a join has a name for programs and a sentence for people.
func TestWhatStopsAJoinIsNamed(t *testing.T) {
	now := time.Now()
	good, roots := certificate(t, now.Add(-time.Hour), now.Add(time.Hour))
	old, oldRoots := certificate(t, now.Add(-49*time.Hour), now.Add(-48*time.Hour-time.Minute))
	early, earlyRoots := certificate(t, now.Add(72*time.Hour), now.Add(100*time.Hour))
	s, sOld := tlsServer(t, good), tlsServer(t, old)
	dated := func(date time.Time) *httptest.Server { // the server's clock is another
		e := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Date", date.UTC().Format(http.TimeFormat))
		}))
		e.TLS = &tls.Config{Certificates: []tls.Certificate{early}}
		e.Config.ErrorLog = log.New(io.Discard, "", 0)
		e.StartTLS()
		t.Cleanup(e.Close)
		return e
	}
	portal := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://login.example/", http.StatusFound)
	}))
	portal.TLS = &tls.Config{Certificates: []tls.Certificate{good}}
	portal.Config.ErrorLog = log.New(io.Discard, "", 0)
	portal.StartTLS()
	defer portal.Close()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := "https://" + ln.Addr().String()
	ln.Close()
	fails := func(err error) func(*control.Config) {
		return func(c *control.Config) {
			c.DialContext = func(context.Context, string, string) (net.Conn, error) { return nil, err }
		}
	}
	dial := func(err error) error {
		return &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.ParseIP("2001:db8::1"), Port: 443}, Err: err}
	}
	trust := func(pool *x509.CertPool) func(*control.Config) { return func(c *control.Config) { c.RootCAs = pool } }
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		io.WriteString(w, "<html>")
	}))
	defer plain.Close()
	mute, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	byName := strings.Replace(s.URL, "127.0.0.1", "localhost", 1)
	wrongPin := "/#pin=" + control.PinOf(old.Leaf).String()
	for _, tt := range []struct {
		barrier, url string
		with         func(*control.Config)
		says         string
	}{
		{control.BarrierDNS, "https://nowhere.example", fails(dial(&net.DNSError{Err: "no such host", Name: "nowhere.example"})), "cannot be resolved"},
		{control.BarrierDNS, "https://nowhere.example", fails(dial(&net.DNSError{Err: "i/o timeout", Name: "nowhere.example", IsTimeout: true})), "no DNS server answers"},
		{control.BarrierRoute, "https://a.example", fails(dial(syscall.ENETUNREACH)), "no route to a.example:443 by IPv6"},
		{control.BarrierRefused, closed, nil, "refuses the connection"},
		{control.BarrierSilence, "https://" + mute.Addr().String(), func(c *control.Config) { c.CallTimeout = 100 * time.Millisecond }, "does not answer in time"},
		{control.BarrierProxy, "https://a.example", func(c *control.Config) {
			c.Proxy = func(*http.Request) (*url.URL, error) { return url.Parse("http" + strings.TrimPrefix(closed, "https")) }
		}, "perhaps nexd's own proxy"},
		{control.BarrierProxyDenies, "https://a.example", func(c *control.Config) { c.Proxy = proxyThat(t, http.StatusForbidden) }, "403 Forbidden; unset it, or put the service's host into NO_PROXY"},
		{control.BarrierProxyAuth, "https://a.example", func(c *control.Config) { c.Proxy = proxyThat(t, http.StatusProxyAuthRequired) }, "user name and password"},
		{control.BarrierClock, dated(now.Add(73 * time.Hour)).URL, trust(earlyRoots), "clock is 3 days behind"},
		{control.BarrierClock, dated(now).URL, trust(earlyRoots), "valid only from"},
		{control.BarrierExpired, sOld.URL, trust(oldRoots), "2 days ago"},
		{control.BarrierAuthority, s.URL, trust(x509.NewCertPool()), "fingerprint"},
		{control.BarrierAuthority, sOld.URL, trust(roots), "and expired"},
		{control.BarrierName, byName, trust(roots), "another name"},
		{control.BarrierPin, s.URL + wrongPin, nil, "another service answers there"},
		{control.BarrierCaptive, portal.URL, trust(x509.NewCertPool()), "it redirects to http://login.example/"},
		{control.BarrierCaptive, portal.URL + wrongPin, nil, "log in"},
		{control.BarrierCaptive, plain.URL, nil, "login page"},
		{control.BarrierNoTLS, "https" + strings.TrimPrefix(plain.URL, "http"), nil, "does not speak TLS"},
	} {
		err := about(t, clientOf(t, tt.url, tt.with))
		if got := control.ReasonOf(err); got != tt.barrier || !strings.Contains(fmt.Sprint(err), tt.says) {
			t.Errorf("%s: %q, %v; want %s, %q", tt.url, got, err, tt.barrier, tt.says)
		}
	}
}

// An authority may be younger than a certificate that it has signed, or was trusted later.
func TestAnExpiredCertificateOfAYoungerAuthority(t *testing.T) {
	now := time.Now()
	leaf, pool := signed(t, now.Add(-time.Minute), now.Add(time.Hour), now.Add(-2*time.Hour), now.Add(-10*time.Second))
	err := about(t, clientOf(t, tlsServer(t, leaf).URL, func(c *control.Config) { c.RootCAs = pool }))
	if control.ReasonOf(err) != control.BarrierExpired || !strings.Contains(fmt.Sprint(err), "expired at") {
		t.Errorf("%v", err)
	}
}
