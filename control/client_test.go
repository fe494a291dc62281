package control_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"nexd/control"
	"nexd/internal/leak"
	"nexd/mesh"
)

func noProxy(*http.Request) (*url.URL, error) { return nil, nil }

// clientOf makes a client of a URL as a user would write it.
func clientOf(t *testing.T, raw string, change func(*control.Config)) *control.Client {
	t.Helper()
	u, err := control.ParseJoinURL(raw)
	if err != nil {
		t.Fatal(err)
	}
	key, err := mesh.NewPrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	cfg := control.Config{URL: u, Key: key, Insecure: true, Proxy: noProxy, CallTimeout: 5 * time.Second}
	if change != nil {
		change(&cfg)
	}
	c, err := control.NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// answer is a fake service that says the same to everything.
func answer(status int, kind, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", kind)
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

// about is the error of asking the service about itself.
func about(t *testing.T, c *control.Client) error {
	t.Helper()
	_, err := c.About(t.Context())
	return err
}

// oneLiner checks what every error of the client has to be.
func oneLiner(t *testing.T, err error, kind mesh.Kind, base string, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	text := err.Error()
	if mesh.KindOf(err) != kind || !strings.Contains(text, base) || strings.ContainsAny(text, "\n\x1b") {
		t.Errorf("%v error %q; want %v, naming %s, in one line", mesh.KindOf(err), text, kind, base)
	}
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%q lacks %q", text, p)
		}
	}
}

func TestStrangeAnswers(t *testing.T) {
	leak.Check(t)
	for _, tt := range []struct {
		name    string
		handler http.HandlerFunc
		kind    mesh.Kind
		parts   []string
	}{
		{"HTML", answer(200, "text/html; charset=utf-8", "<html>welcome"), mesh.Invalid, []string{"not a nexservice", "text/html", "200"}},
		{"not found page", answer(404, "text/plain", "nope"), mesh.Invalid, []string{"not a nexservice", "404"}},
		{"other JSON API", answer(404, "application/json", `{"error":"x"}`), mesh.Invalid, []string{"not a nexservice"}},
		{"HTML called JSON", answer(200, "application/json", "<html>"), mesh.Invalid, []string{"not what a nexservice says"}},
		{"empty", answer(200, "application/json", ""), mesh.Invalid, nil},
		{"other object", answer(200, "application/json", `{"hello":1}`), mesh.Invalid, nil},
		{"no type", answer(200, "", "x"), mesh.Invalid, []string{"not a nexservice"}},
		{"redirect", answer(302, "text/html", "", "Location", "https://login.example.com/"), mesh.Invalid, []string{"redirects", "login.example.com"}},
		{"bad gateway", answer(502, "text/html", "<html>"), mesh.Unavailable, []string{"proxy", "502"}},
		{"proxy password", answer(407, "text/html", ""), mesh.Denied, []string{"HTTPS_PROXY"}},
		{"huge", answer(200, "application/json", `"`+strings.Repeat("x", control.MaxAnswer+10)), mesh.Invalid, []string{"longer than"}},
		{"cut off", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, `{"challenge":`)
		}, mesh.Unavailable, []string{"cut off"}},
		{"hangs up", func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }, mesh.Unavailable, []string{"cut"}},
		{"low-order challenge", answer(200, "application/json",
			`{"challenge":"AwMDAwMDAwMDAwMDAwMDAwAAAABrSdIA","service_key":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","expires":"2030-01-01T00:00:00Z"}`), mesh.Invalid, []string{"low-order"}},
		{"problem", answer(409, control.TypeProblem, `{"kind":"conflict","detail":"held by node1"}`), mesh.Conflict, []string{"held by node1"}},
		{"problem in HTML", answer(409, "text/html", `{"kind":"conflict","detail":"held by node1"}`), mesh.Invalid, []string{"not a nexservice"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := httptest.NewServer(tt.handler)
			defer s.Close()
			c := clientOf(t, s.URL, nil)
			_, err := c.Register(t.Context(), control.Registration{})
			oneLiner(t, err, tt.kind, s.URL, tt.parts...)
			err = c.Watch(t.Context(), mesh.Version{}, func(control.Event) error { return nil })
			oneLiner(t, err, tt.kind, s.URL, tt.parts...)
		})
	}
}

func TestRetryAfterIsKept(t *testing.T) {
	s := httptest.NewServer(answer(429, control.TypeProblem, `{"kind":"exhausted","detail":"slow down"}`, "Retry-After", "7"))
	defer s.Close()
	_, err := clientOf(t, s.URL, nil).Register(t.Context(), control.Registration{})
	if mesh.KindOf(err) != mesh.Exhausted || control.RetryAfter(err) != 7*time.Second {
		t.Errorf("%v, retry after %v", err, control.RetryAfter(err))
	}
}

// certificate makes a TLS key whose certificate is valid in a span.
func certificate(t *testing.T, from, to time.Time) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: from, NotAfter: to, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, pool
}

// signed is a certificate of an authority, with the times of both.
func signed(t *testing.T, caFrom, caTo, from, to time.Time) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	ca, pool := certificate(t, caFrom, caTo)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: from, NotAfter: to, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, ca.Leaf, key.Public(), ca.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

func tlsServer(t *testing.T, cert tls.Certificate) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(answer(200, control.TypeJSON, `{"status":"ok"}`))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func TestTrust(t *testing.T) {
	now := time.Now()
	good, roots := certificate(t, now.Add(-time.Hour), now.Add(time.Hour))
	old, oldRoots := certificate(t, now.Add(-2*time.Hour), now.Add(-time.Hour))
	early, earlyRoots := certificate(t, now.Add(time.Hour), now.Add(2*time.Hour))
	s, sOld, sEarly := tlsServer(t, good), tlsServer(t, old), tlsServer(t, early)
	pin, oldPin := "/#pin="+control.PinOf(good.Leaf).String(), "/#pin="+control.PinOf(old.Leaf).String()
	byName := strings.Replace(s.URL, "127.0.0.1", "localhost", 1)
	for _, tt := range []struct {
		name, url string
		roots     *x509.CertPool
		kind      mesh.Kind // Internal = must work
		parts     []string
	}{
		{"pin", s.URL + pin, nil, mesh.Internal, nil},
		{"pin of an expired certificate", sOld.URL + oldPin, nil, mesh.Internal, nil},
		{"pin under another name", byName + pin, nil, mesh.Internal, nil},
		{"roots", s.URL, roots, mesh.Internal, nil},
		{"wrong pin", s.URL + oldPin, nil, mesh.Denied, []string{"pin", "join URL"}},
		{"wrong pin is not saved by the roots", s.URL + oldPin, roots, mesh.Denied, []string{"pin"}},
		{"unknown authority", s.URL, x509.NewCertPool(), mesh.Denied, []string{"authority", "fingerprint", "Compare it", "use the URL " + s.URL + pin}},
		{"unknown authority and another name", byName, x509.NewCertPool(), mesh.Denied, []string{"use the URL " + byName + pin}},
		{"unknown authority and expired", sOld.URL, roots, mesh.Denied, []string{"use the URL " + sOld.URL + oldPin}},
		{"another name", byName, roots, mesh.Denied, []string{"name"}},
		{"expired", sOld.URL, oldRoots, mesh.Unavailable, []string{"expired", "clock"}},
		{"not yet valid", sEarly.URL, earlyRoots, mesh.Unavailable, []string{"valid only from", "clock"}},
	} {
		c := clientOf(t, tt.url, func(c *control.Config) { c.RootCAs = tt.roots; c.Insecure = false })
		_, err := c.About(t.Context())
		if tt.kind == mesh.Internal {
			if err != nil {
				t.Errorf("%s: %v", tt.name, err)
			}
			continue
		}
		oneLiner(t, err, tt.kind, strings.Split(tt.url, "/#")[0], tt.parts...)
	}
}

func TestSchemeMixedUp(t *testing.T) {
	good, roots := certificate(t, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	s := tlsServer(t, good)
	plain := httptest.NewServer(answer(200, control.TypeJSON, `{"status":"ok"}`))
	defer plain.Close()
	toTLS := "http" + strings.TrimPrefix(s.URL, "https")
	_, err := clientOf(t, toTLS, nil).About(t.Context())
	oneLiner(t, err, mesh.Invalid, toTLS, "https://")
	toPlain := "https" + strings.TrimPrefix(plain.URL, "http")
	for _, suffix := range []string{"", "/#pin=" + control.PinOf(good.Leaf).String()} {
		_, err = clientOf(t, toPlain+suffix, func(c *control.Config) { c.RootCAs = roots }).About(t.Context())
		oneLiner(t, err, mesh.Invalid, toPlain, "TLS", "write http://"+plain.Listener.Addr().String())
		if !errors.Is(err, control.ErrNoTLS) {
			t.Errorf("%v is not ErrNoTLS", err)
		}
	}
	if _, err := control.NewClient(control.Config{URL: control.JoinURL{Scheme: "http", Host: "h"}, Key: privateKey(t)}); mesh.KindOf(err) != mesh.Invalid || !errors.Is(err, control.ErrNotEncrypted) {
		t.Errorf("plain HTTP without leave: %v", err)
	}
}

func privateKey(t *testing.T) mesh.PrivateKey {
	t.Helper()
	k, err := mesh.NewPrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestUnreachable(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := "https://" + ln.Addr().String()
	ln.Close()
	oneLiner(t, about(t, clientOf(t, closed, nil)), mesh.Unavailable, closed, "refuses the connection")

	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	at := "http://" + silent.Addr().String()
	_, err = clientOf(t, at, func(c *control.Config) { c.CallTimeout = 100 * time.Millisecond }).About(t.Context())
	oneLiner(t, err, mesh.Unavailable, at, "does not answer in time")

	noName := func(c *control.Config) {
		c.DialContext = func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "nowhere.example", IsNotFound: true}}
		}
	}
	oneLiner(t, about(t, clientOf(t, "https://nowhere.example", noName)), mesh.Unavailable, "https://nowhere.example", "cannot be resolved")

	viaProxy := func(c *control.Config) {
		c.Proxy = func(*http.Request) (*url.URL, error) { return url.Parse("http://" + ln.Addr().String()) }
	}
	oneLiner(t, about(t, clientOf(t, "https://service.example", viaProxy)), mesh.Unavailable, "https://service.example", "HTTP proxy")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := clientOf(t, at, nil).About(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("ended by its caller: %v", err)
	}
}

func TestHTTPProxyIsUsed(t *testing.T) {
	good, _ := certificate(t, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	s := tlsServer(t, good)
	var asked atomic.Value
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Store(r.Method + " " + r.Host)
		up, err := net.Dial("tcp", s.Listener.Addr().String())
		if err != nil {
			t.Error(err)
			return
		}
		down, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		io.WriteString(down, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { io.Copy(up, down); up.Close() }()
		io.Copy(down, up)
		down.Close()
	}))
	defer proxy.Close()
	c := clientOf(t, "https://mesh.example:8443/#pin="+control.PinOf(good.Leaf).String(), func(c *control.Config) {
		c.Proxy = func(*http.Request) (*url.URL, error) { return url.Parse(proxy.URL) }
	})
	if _, err := c.About(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.Close()
	if got := asked.Load(); got != "CONNECT mesh.example:8443" {
		t.Errorf("the proxy was asked for %v", got)
	}
}

// fakeService opens sessions without checking proofs, and streams what it is told.
type fakeService struct {
	sessions atomic.Int32
	valid    atomic.Value // the only token it takes
	watch    func(w http.ResponseWriter, r *http.Request)
}

func (f *fakeService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", control.TypeJSON)
	switch r.URL.Path {
	case control.PathChallenge:
		json.NewEncoder(w).Encode(control.Challenge{ServiceKey: mesh.Key{9}})
	case control.PathSession:
		token := fmt.Sprint("token", f.sessions.Add(1))
		f.valid.Store(token)
		json.NewEncoder(w).Encode(control.SessionAnswer{Session: control.Session{Token: token}})
	default:
		if r.Header.Get("Authorization") != "Bearer "+fmt.Sprint(f.valid.Load()) {
			p := control.ProblemOf(control.Errorf(mesh.Denied, control.ReasonSession, "ended"))
			w.Header().Set("Content-Type", control.TypeProblem)
			w.WriteHeader(p.Status)
			json.NewEncoder(w).Encode(p)
			return
		}
		if r.URL.Path == control.PathWatch {
			w.Header().Set("Content-Type", control.TypeStream)
			f.watch(w, r)
			return
		}
		io.WriteString(w, `{}`)
	}
}

func TestEndedSessionIsOpenedAgain(t *testing.T) {
	f := &fakeService{watch: func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"type":"bye"}`+"\n") }}
	s := httptest.NewServer(f)
	defer s.Close()
	c := clientOf(t, s.URL, nil)
	for i, end := range []bool{false, false, true, false} {
		if end {
			f.valid.Store("none")
		}
		if _, err := c.UpdateEndpoints(t.Context(), control.EndpointUpdate{}); err != nil {
			t.Fatalf("call %d: %v", i, err)
		}
	}
	f.valid.Store("none")
	if err := c.Watch(t.Context(), mesh.Version{}, func(control.Event) error { return nil }); mesh.KindOf(err) != mesh.Unavailable {
		t.Errorf("watch: %v", err)
	}
	if n := f.sessions.Load(); n != 3 {
		t.Errorf("%d sessions opened, want 3", n)
	}
}

const selfMap = `{"type":"map","map":{"epoch":"e","rev":1,"self":{"id":"me","addresses":["100.64.0.1"]},"peers":[]}}` + "\n"

func TestHowAWatchEnds(t *testing.T) {
	leak.Check(t)
	stop := errors.New("stop")
	for _, tt := range []struct {
		name, stream string
		hold         bool // the service keeps the connection open
		handler      error
		kind         mesh.Kind
		reason, text string
		events       int
	}{
		{name: "closed", stream: selfMap, kind: mesh.Unavailable, text: "closed the watch", events: 1},
		{name: "cut in a line", stream: selfMap + `{"type":"ma`, kind: mesh.Unavailable, text: "closed the watch", events: 1},
		{name: "silent", stream: selfMap + `{"type":"keepalive"}` + "\n", hold: true, kind: mesh.Unavailable, text: "said nothing", events: 1},
		{name: "gone", stream: selfMap + `{"type":"gone","detail":"removed"}` + "\n", hold: true, kind: mesh.Denied, reason: control.ReasonGone, text: "removed", events: 2},
		{name: "replaced", stream: `{"type":"replaced"}` + "\n", hold: true, kind: mesh.Conflict, reason: control.ReasonReplaced, events: 1},
		{name: "bye", stream: `{"type":"bye"}` + "\n", hold: true, kind: mesh.Unavailable, events: 1},
		{name: "unknown events pass", stream: `{"type":"shiny","x":[1]}` + "\n\n" + `{"type":"bye"}` + "\n", kind: mesh.Unavailable, events: 2},
		{name: "not JSON", stream: "<html>\n", hold: true, kind: mesh.Unavailable, text: "not an event"},
		{name: "map without a node", stream: `{"type":"map","map":{}}` + "\n", hold: true, kind: mesh.Unavailable},
		{name: "handler", stream: selfMap, hold: true, handler: stop, events: 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := &fakeService{watch: func(w http.ResponseWriter, r *http.Request) {
				io.WriteString(w, tt.stream)
				http.NewResponseController(w).Flush()
				if tt.hold {
					<-r.Context().Done()
				}
			}}
			s := httptest.NewServer(f)
			defer s.Close()
			c := clientOf(t, s.URL, func(c *control.Config) { c.Silence = 300 * time.Millisecond })
			n := 0
			err := c.Watch(t.Context(), mesh.Version{}, func(control.Event) error { n++; return tt.handler })
			if n != tt.events {
				t.Errorf("%d events, want %d", n, tt.events)
			}
			if tt.handler != nil {
				if !errors.Is(err, tt.handler) {
					t.Errorf("ended with %v", err)
				}
				return
			}
			oneLiner(t, err, tt.kind, s.URL, tt.text)
			if control.ReasonOf(err) != tt.reason {
				t.Errorf("reason %q, want %q", control.ReasonOf(err), tt.reason)
			}
		})
	}
}

func TestWatchEndsWithItsContext(t *testing.T) {
	leak.Check(t)
	have := make(chan string, 1)
	f := &fakeService{watch: func(w http.ResponseWriter, r *http.Request) {
		have <- r.URL.Query().Get("have")
		io.WriteString(w, selfMap)
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}}
	s := httptest.NewServer(f)
	defer s.Close()
	ctx, cancel := context.WithCancel(t.Context())
	err := clientOf(t, s.URL, nil).Watch(ctx, mesh.Version{Epoch: "e&f", Rev: 7}, func(control.Event) error { cancel(); return nil })
	if err != nil {
		t.Errorf("Watch = %v", err)
	}
	if got := <-have; got != "e&f:7" {
		t.Errorf("have = %q", got)
	}
}

// A slow handler is not the service's silence.
func TestSlowHandlerIsNotSilence(t *testing.T) {
	f := &fakeService{watch: func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, selfMap+`{"type":"bye"}`+"\n") }}
	s := httptest.NewServer(f)
	defer s.Close()
	n := 0
	err := clientOf(t, s.URL, func(c *control.Config) { c.Silence = 50 * time.Millisecond }).Watch(t.Context(), mesh.Version{}, func(control.Event) error {
		n++
		time.Sleep(120 * time.Millisecond)
		return nil
	})
	if n != 2 || !strings.Contains(err.Error(), "is shutting down") {
		t.Errorf("%d events, %v", n, err)
	}
}
