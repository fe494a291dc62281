package firstflight_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"nexd/internal/firstflight"
	"nexd/internal/leak"
)

// hole is a path on which packets longer than mtu are lost, each way separately. 0 = none are.
type hole struct {
	net.Listener
	mtu   [2]atomic.Int64 // of what the client sends, and of what it receives
	v6    atomic.Bool     // connections by IPv6 carry nothing
	dials atomic.Int32
	ends  sync.Map // the client's address -> the server's end, as the client wants it
}

// segments is one end of a connection over a hole. It sends segments of at most mss bytes. One that
// does not fit is repeated for ever by a kernel, so nothing after it arrives either.
type segments struct {
	net.Conn
	hole   *hole
	way    int
	mss    int
	remote net.Addr
	lost   bool
}

func (s *segments) Write(b []byte) (int, error) {
	if s.mss == 0 { // the server's end: by now the client has sent something
		at, _ := s.hole.ends.Load(s.Conn.RemoteAddr().String())
		s.mss = at.(int)
	}
	for rest := b; len(rest) > 0; {
		n := min(len(rest), s.mss)
		mtu := int(s.hole.mtu[s.way].Load())
		if at, ok := s.remote.(*net.TCPAddr); ok && at.IP.To4() == nil {
			mtu = 1
		}
		if s.lost = s.lost || mtu > 0 && n+52 > mtu; !s.lost {
			if _, err := s.Conn.Write(rest[:n]); err != nil {
				return len(b) - len(rest), err
			}
		}
		rest = rest[n:]
	}
	return len(b), nil
}

func (s *segments) RemoteAddr() net.Addr { return s.remote }

func (h *hole) dial(mss int) firstflight.DialFunc {
	if mss == 0 {
		mss = 1448
	}
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		h.dials.Add(1)
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", h.Addr().String())
		if err != nil {
			return nil, err
		}
		h.ends.Store(conn.LocalAddr().String(), mss)
		at := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 443}
		if h.v6.Load() && network != "tcp4" {
			at.IP = net.ParseIP("2001:db8::1")
		}
		return &segments{Conn: conn, hole: h, mss: mss, remote: at}, nil
	}
}

// Accept implements net.Listener.
func (h *hole) Accept() (net.Conn, error) {
	c, err := h.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &segments{Conn: c, hole: h, way: 1, remote: c.RemoteAddr()}, nil
}

// client is a client of a server behind a hole that returns what it is sent.
type client struct {
	*firstflight.Transport
	t *testing.T
}

func serve(t *testing.T, h *hole, cfg firstflight.Config) client {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Log(err)
		}
		w.Write(b)
	}))
	h.Listener, srv.Listener = srv.Listener, h
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	t.Cleanup(srv.Close)
	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	cfg.Dial = h.dial
	if cfg.Base == nil {
		cfg.Base = &http.Transport{TLSHandshakeTimeout: time.Minute}
	}
	cfg.Base.DisableKeepAlives = true
	cfg.Base.TLSClientConfig = &tls.Config{RootCAs: roots, ServerName: "example.com"}
	return client{firstflight.New(cfg), t}
}

func (c client) post(body string) (string, error) {
	req, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, "https://mesh.example/", strings.NewReader(body))
	if err != nil {
		return "", err
	}
	resp, err := (&http.Client{Transport: c}).Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}

// unsure is long enough for a handshake on a busy machine.
const unsure = 2 * time.Second

func TestAFirstFlightThatDoesNotPassIsRepeatedInAFormThatFits(t *testing.T) {
	leak.Check(t)
	for _, tt := range []struct {
		name      string
		out, back int64
		v6        bool
		fits      int // 0 = the plain form passes
	}{
		{"no hole", 0, 0, false, 0},
		{"1300 both ways", 1300, 1300, false, 1160},
		{"1480 both ways", 1480, 1480, false, 1160},
		{"1300 to the service", 1300, 0, false, 1160},
		{"1300 from the service", 0, 1300, false, 1160},
		{"IPv6 carries nothing", 0, 0, true, 1160},
		{"IPv6 carries nothing, IPv4 has a hole", 1300, 1300, true, 1160},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var h hole
			h.mtu[0].Store(tt.out)
			h.mtu[1].Store(tt.back)
			h.v6.Store(tt.v6)
			c := serve(t, &h, firstflight.Config{Unsure: unsure, Sure: unsure / 8})
			body := strings.Repeat("a large body, sent back whole. ", 10_000)
			if got, err := c.post(body); err != nil || got != body {
				t.Fatalf("%d of %d bytes: %v", len(got), len(body), err)
			}
			if l := c.Loss(); l.Since.IsZero() != (tt.fits == 0) || l.Fits != tt.fits || l.IPv6 != tt.v6 {
				t.Errorf("%+v", l)
			}
			before := h.dials.Load()
			if got, err := c.post(body); err != nil || got != body || h.dials.Load() != before+1 {
				t.Errorf("the form was not remembered: %v, %d connections more", err, h.dials.Load()-before)
			}
		})
	}
}

func TestALossIsForgotten(t *testing.T) {
	var h hole
	h.mtu[0].Store(1300)
	c := serve(t, &h, firstflight.Config{Unsure: unsure, Sure: unsure / 8, Forget: time.Nanosecond})
	if _, err := c.post("x"); err != nil || h.dials.Load() != 2 {
		t.Fatalf("%v after %d connections", err, h.dials.Load())
	}
	h.mtu[0].Store(0)
	if _, err := c.post("x"); err != nil || h.dials.Load() != 3 || !c.Loss().Since.IsZero() {
		t.Errorf("the plain form is not tried again: %v, %+v", err, c.Loss())
	}
}

// A hole that appears later is found by the next connection.
func TestAHoleThatAppearsLater(t *testing.T) {
	var h hole
	c := serve(t, &h, firstflight.Config{Unsure: unsure, Sure: unsure / 8})
	if _, err := c.post("x"); err != nil {
		t.Fatal(err)
	}
	h.mtu[0].Store(1300)
	if got, err := c.post("y"); err != nil || got != "y" || c.Loss().Fits != 1160 {
		t.Errorf("%q, %v, %+v", got, err, c.Loss())
	}
}

// A server that never answers is no lost packet, and is waited for as long as ever.
func TestSilenceIsNoLoss(t *testing.T) {
	var h hole
	h.mtu[0].Store(1)
	c := serve(t, &h, firstflight.Config{Unsure: 50 * time.Millisecond, Sure: 10 * time.Millisecond, Base: &http.Transport{TLSHandshakeTimeout: 200 * time.Millisecond}})
	_, err := c.post("x")
	var mute *firstflight.Error
	if !errors.As(err, &mute) || mute.Lost || !mute.Timeout() || !c.Loss().Since.IsZero() || h.dials.Load() != 2 {
		t.Errorf("%v, %+v after %d connections", err, c.Loss(), h.dials.Load())
	}
}

// The error of a certificate is no reason for another attempt.
func TestAWrongCertificateIsNotRetried(t *testing.T) {
	var h hole
	c := serve(t, &h, firstflight.Config{})
	c.Base().TLSClientConfig.ServerName = "other.example"
	if _, err := c.post("x"); err == nil || h.dials.Load() != 1 {
		t.Errorf("%v after %d connections", err, h.dials.Load())
	}
}

func TestWordsOfALoss(t *testing.T) {
	for want, l := range map[string]firstflight.Loss{
		"packets of 1500 bytes are lost": {Size: 1500, Fits: 1160},
		"at most 1160 bytes are used":    {Fits: 1160},
		"IPv4 is used":                   {IPv6: true},
	} {
		if !strings.Contains(l.String(), want) {
			t.Errorf("%+v: %v", l, l)
		}
	}
}
