package firstflight

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"time"
)

// Sizes of segments, in bytes. An IP packet has at most 40 (IPv4) or 60 bytes (IPv6) more.
const (
	SmallMSS = 1120
	TinyMSS  = 512
)

// DialFunc has the type of http.Transport.DialContext.
type DialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// Config configures a Transport. Base and Dial are required.
type Config struct {
	Base   *http.Transport        // of the plain form; its DialContext is not used
	Dial   func(mss int) DialFunc // with segments of at most mss bytes; 0 = as large as the path seems to allow
	Logger *slog.Logger           // nil = discard

	// The rest is for tests; zero takes the defaults.
	Sure   time.Duration // how long a handshake waits if the kernel shows that segments are lost; 0 = 1.5 s
	Unsure time.Duration // the same without a sign of loss; 0 = 4 s
	Forget time.Duration // after which the plain form is tried again; 0 = 30 min
}

// way is a form of connections.
type way struct {
	mss     int
	network string // instead of "tcp"; empty = the caller's
	tr      *http.Transport
}

// Loss says what does not pass, and since when.
type Loss struct {
	Size  int       // bytes of an IP packet that are lost; 0 = not known
	Fits  int       // bytes of an IP packet that pass
	IPv6  bool      // it is the way by IPv6 that loses them, and IPv4 is used
	Since time.Time // zero = nothing is lost
}

// String describes the loss for people.
func (l Loss) String() string {
	large := "large packets"
	if l.Size > 0 {
		large = fmt.Sprintf("packets of %d bytes", l.Size)
	}
	if l.IPv6 {
		return "IPv6 connections open but carry nothing; IPv4 is used"
	}
	return fmt.Sprintf("%s are lost on the way, and nobody says so (a smaller MTU, ICMP blocked); packets of at most %d bytes are used", large, l.Fits)
}

// Transport is an http.RoundTripper. Make it with New.
type Transport struct {
	cfg  Config
	ways []way

	mu    sync.Mutex // guards what follows
	best  int        // the way that works
	until time.Time  // then the plain form is tried again
	loss  Loss
}

// New makes a transport, which sends nothing yet.
func New(cfg Config) *Transport {
	for _, d := range []struct {
		at *time.Duration
		is time.Duration
	}{{&cfg.Sure, 1500 * time.Millisecond}, {&cfg.Unsure, 4 * time.Second}, {&cfg.Forget, 30 * time.Minute}} {
		if *d.at <= 0 {
			*d.at = d.is
		}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	t := &Transport{cfg: cfg, ways: []way{{}, {mss: SmallMSS}, {mss: SmallMSS, network: "tcp4"}, {mss: TinyMSS}}}
	for i := range t.ways {
		w := &t.ways[i]
		w.tr = cfg.Base.Clone()
		w.tr.DialContext = w.dialer(cfg.Dial(w.mss))
		if w.mss > 0 {
			if w.tr.TLSClientConfig == nil {
				w.tr.TLSClientConfig = &tls.Config{}
			}
			w.tr.TLSClientConfig.CurvePreferences = []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384} // no post-quantum share
		}
	}
	return t
}

// Loss reports what does not pass. Since is zero if nothing is known to be lost.
func (t *Transport) Loss() Loss {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.current() == 0 {
		return Loss{}
	}
	return t.loss
}

// CloseIdleConnections has the meaning of that of http.Transport; http.Client calls it.
func (t *Transport) CloseIdleConnections() {
	for _, w := range t.ways {
		w.tr.CloseIdleConnections()
	}
}

// Base returns the transport of the form in use, to be cloned.
func (t *Transport) Base() *http.Transport {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ways[t.current()].tr
}

// current is the way to try first. t.mu is held.
func (t *Transport) current() int {
	if t.best > 0 && time.Now().After(t.until) {
		t.best, t.loss = 0, Loss{}
	}
	return t.best
}

// Error is the error of a request whose TLS handshake was not answered in any form.
type Error struct {
	Lost bool // the kernel saw that segments are not acknowledged, even small ones
	err  error
}

func (e *Error) Error() string {
	if e.Lost {
		return "the connection opens, but what is sent next does not arrive, not even in small packets"
	}
	return "the connection opens, but TLS gets no answer"
}

// Unwrap returns the error of the last attempt.
func (e *Error) Unwrap() error { return e.err }

// Timeout implements net.Error.
func (e *Error) Timeout() bool { return true }

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	t.mu.Lock()
	first := t.current()
	t.mu.Unlock()
	if req.URL.Scheme != "https" {
		return t.ways[first].tr.RoundTrip(req)
	}
	var mute *Error
	size := 0
	for i := first; ; {
		a := &attempt{cfg: &t.cfg, way: i}
		resp, err := t.ways[i].tr.RoundTrip(a.watched(req))
		v := a.end()
		if err == nil {
			if i != first {
				t.remember(i, size, v)
			}
			return resp, nil
		}
		if v.mute {
			mute, size = &Error{Lost: v.lost, err: err}, max(size, v.size)
		}
		next := t.after(i, v)
		if next == 0 || req.Context().Err() != nil {
			if mute != nil && v.mute {
				return nil, mute
			}
			return nil, err
		}
		if req, err = again(req); err != nil {
			return nil, err
		}
		t.cfg.Logger.Debug("TLS was not answered; next with smaller packets", "mss", t.ways[next].mss, "lost", v.lost)
		i = next
	}
}

// after returns the way to try after way i failed, or 0.
func (t *Transport) after(i int, v verdict) int {
	switch {
	case !v.mute:
		return 0
	case i == 0:
		return 1
	case i == 1 && v.ipv6:
		return 2
	case i < 3 && v.lost:
		return 3
	}
	return 0
}

// remember keeps a way that works after others did not.
func (t *Transport) remember(i, size int, v verdict) {
	w := t.ways[i]
	l := Loss{Size: size, Fits: w.mss + 40, IPv6: w.network == "tcp4", Since: time.Now()}
	if v.ipv6 {
		l.Fits += 20
	}
	t.mu.Lock()
	known := t.best == i
	t.best, t.until = i, time.Now().Add(t.cfg.Forget)
	if !known {
		t.loss = l
	}
	t.mu.Unlock()
	if !known {
		t.cfg.Logger.Warn("packets to the service are lost; using smaller ones", "size", l.Size, "fits", l.Fits, "ipv6", l.IPv6)
	}
}

// again is a request that is sent once more. Nothing of it has been sent, but a transport closes
// the body of a request that failed.
func again(req *http.Request) (*http.Request, error) {
	if req.Body == nil || req.Body == http.NoBody {
		return req, nil
	}
	if req.GetBody == nil {
		return nil, errors.New("firstflight: a body that cannot be sent again")
	}
	body, err := req.GetBody()
	if err != nil {
		return nil, err
	}
	req = req.Clone(req.Context())
	req.Body = body
	return req, nil
}

// verdict is what became of one attempt.
type verdict struct {
	mute bool // connected, and the handshake was not answered
	lost bool // the kernel saw lost segments
	ipv6 bool
	size int // of an IP packet that was lost, at most; 0 = not known
}

// attempt watches the handshake of one connection.
type attempt struct {
	cfg *Config
	way int

	mu    sync.Mutex // guards what follows
	conn  net.Conn
	timer *time.Timer
	began time.Time // of the handshake; zero = none is under way
	out   verdict
}

type attemptKey struct{}

// dialer records the connection in the attempt that it is for.
func (w *way) dialer(dial DialFunc) DialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if w.network != "" && network == "tcp" {
			network = w.network
		}
		conn, err := dial(ctx, network, address)
		if a, ok := ctx.Value(attemptKey{}).(*attempt); ok && err == nil {
			a.mu.Lock()
			a.conn = conn
			if at, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
				a.out.ipv6 = at.IP.To4() == nil
			}
			a.mu.Unlock()
		}
		return conn, err
	}
}

// watched is the request with the attempt's hooks. A connection that the request began outlives it
// if another one is free earlier, and so does the watch over its handshake.
func (a *attempt) watched(req *http.Request) *http.Request {
	ctx := context.WithValue(req.Context(), attemptKey{}, a)
	return req.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		TLSHandshakeStart: a.start,
		TLSHandshakeDone:  func(_ tls.ConnectionState, err error) { a.stop(err) },
	}))
}

func (a *attempt) start() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.began = time.Now()
	a.timer = time.AfterFunc(a.cfg.Sure, a.look)
}

func (a *attempt) stop(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if late, ok := errors.AsType[net.Error](err); ok && late.Timeout() { // http.Transport.TLSHandshakeTimeout
		a.out.mute = true
	}
	a.began = time.Time{}
	if a.timer != nil {
		a.timer.Stop()
	}
}

// look ends a handshake that waits for nothing.
func (a *attempt) look() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.began.IsZero() || a.conn == nil {
		return
	}
	size, lost := lossOf(a.conn)
	patient := a.way > 0 && !a.out.ipv6 // no other way would be tried
	if !lost && (patient || time.Since(a.began) < a.cfg.Unsure) {
		a.timer.Reset(a.cfg.Sure / 6)
		return
	}
	a.out.mute, a.out.lost, a.out.size = true, lost, size
	a.began = time.Time{}
	a.conn.Close()
}

func (a *attempt) end() verdict {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.out
}
