package proxy

import (
	"cmp"
	"context"
	"errors"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"nexd/internal/budget"
	"nexd/internal/splice"
	"nexd/mesh"
)

// Limits of the connections to the targets of plain HTTP.
const (
	upstreamIdle  = 30 * time.Second
	upstreamConns = 4
	upstreamBlock = 64 << 10 // bytes copied at a time; a stream holds so much while it waits
)

// forward serves a plain request for an absolute URI.
func (w *web) forward(rw http.ResponseWriter, r *http.Request) {
	c := clientOf(r.Context())
	defer func() { c.finishAnswer(recover()) }()
	if _, err := splitTarget(urlTarget(r.URL)); err != nil {
		fail(rw, r.URL.Host, err)
		return
	}
	rw.Header()["Content-Type"], rw.Header()["Date"] = nil, nil // none if the target sends none
	ctx := context.WithValue(r.Context(), requestKey{}, r.Context())
	w.plain.ServeHTTP(rw, r.WithContext(ctx))
}

// finishAnswer ends a client when net/http does not: after an upgraded connection is over, and
// after an answer that broke off. ReverseProxy reports the latter by a panic. A client that reads
// until the end must not take a broken answer for complete.
func (c *client) finishAnswer(panicked any) {
	if panicked == http.ErrAbortHandler {
		splice.Abort(c.Conn)
	}
	if c.hijacked.Load() {
		c.end()
	}
	if panicked != nil {
		panic(panicked)
	}
}

// urlTarget returns the host and port of an http URL.
func urlTarget(u *url.URL) string {
	return net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "80"))
}

// requestKey is the key of the request's context in the context of its dial, which net/http
// detaches from the request.
type requestKey struct{}

func (w *web) reverseProxy(logger *log.Logger) httputil.ReverseProxy {
	return httputil.ReverseProxy{
		Rewrite:       rewrite,
		Transport:     w,
		FlushInterval: -1, // what the target sends is passed on at once
		ErrorLog:      logger,
		BufferPool:    &blocks{},
		ErrorHandler: func(rw http.ResponseWriter, r *http.Request, err error) {
			fail(rw, r.URL.Host, err)
		},
	}
}

// rewrite undoes changes of ReverseProxy that a forward proxy must not make. The request goes on as
// the client made it, without the hop-by-hop headers.
func rewrite(r *httputil.ProxyRequest) {
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
		if v, ok := r.In.Header[name]; ok {
			r.Out.Header[name] = v
		}
	}
	r.Out.URL.RawQuery = r.In.URL.RawQuery
}

// RoundTrip implements http.RoundTripper. A request that may be repeated uses the kept connections
// of its client. If the target has closed one meanwhile, net/http repeats the request. Any other
// request gets a new connection, so that it is neither sent twice nor lost. Clients share no
// connection, since some servers take a connection for a login.
func (w *web) RoundTrip(r *http.Request) (*http.Response, error) {
	if !repeatable(r) {
		return w.once.RoundTrip(r)
	}
	c := clientOf(r.Context())
	if c.upstream == nil { // a client has one request at a time
		c.upstream = w.transport()
	}
	return c.upstream.RoundTrip(r)
}

func repeatable(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return (r.Body == nil || r.Body == http.NoBody) && r.Header.Get("Upgrade") == ""
	}
	return false
}

func (w *web) transport() *http.Transport {
	return &http.Transport{
		Proxy:                  nil, // never the environment's
		DialContext:            w.dialUpstream,
		DisableCompression:     true, // the client gets what the target sends
		MaxIdleConns:           upstreamConns,
		IdleConnTimeout:        upstreamIdle,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: maxHeaderBytes,
		ReadBufferSize:         4 << 10,
		WriteBufferSize:        4 << 10,
	}
}

// dialUpstream dials for net/http. The dial ends when its request does.
func (w *web) dialUpstream(ctx context.Context, _, address string) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if request, ok := ctx.Value(requestKey{}).(context.Context); ok {
		defer context.AfterFunc(request, cancel)()
	}
	address, err := splitTarget(address) // net/http keeps the form of an address in a URL
	if err != nil {
		return nil, err
	}
	if !w.s.cfg.Budget.Take(budget.TCP) {
		return nil, mesh.Errorf(mesh.Exhausted, "proxy: %v", noMemory)
	}
	end := sync.OnceFunc(func() { w.s.cfg.Budget.Give(budget.TCP) })
	conn, err := w.s.dial(ctx, address)
	if err != nil {
		end()
		return nil, err
	}
	c := &counted{conn, &w.s.stats.sent, &w.s.stats.received, end}
	if ctx.Err() != nil { // nobody waits for it
		c.Close()
		return nil, errors.Join(errClientGone, ctx.Err())
	}
	return c, nil
}

// counted counts the bytes of a connection.
type counted struct {
	net.Conn
	sent, received *atomic.Int64
	end            func() // gives back the memory of the connection; may be called again
}

// Close implements net.Conn.
func (c *counted) Close() error {
	defer c.end()
	return c.Conn.Close()
}

// Read implements io.Reader.
func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.received.Add(int64(n))
	return n, err
}

// Write implements io.Writer.
func (c *counted) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.sent.Add(int64(n))
	return n, err
}

// blocks lends copy buffers to the reverse proxy.
type blocks struct{ pool sync.Pool }

// Get implements httputil.BufferPool.
func (b *blocks) Get() []byte {
	if p, ok := b.pool.Get().(*[upstreamBlock]byte); ok {
		return p[:]
	}
	return make([]byte, upstreamBlock)
}

// Put implements httputil.BufferPool.
func (b *blocks) Put(p []byte) { b.pool.Put((*[upstreamBlock]byte)(p)) }
