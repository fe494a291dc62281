package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"sync"
	"time"
)

// Limits of the HTTP side.
const (
	webIdleTimeout = 2 * time.Minute // between two requests of a client
	maxHeaderBytes = 256 << 10
)

// web serves the clients that speak HTTP. It is a net.Listener for net/http, and its connections
// are those clients.
type web struct {
	s      *server
	finish func() // closes done
	// dialTunnel runs server.answerConnect with the context of Serve.
	dialTunnel func(c *client, address string)
	server     http.Server
	plain      httputil.ReverseProxy
	once       *http.Transport // keeps no connection
	addr       net.Addr
	ready      chan net.Conn
	done       chan struct{}
}

func newWeb(ctx context.Context, s *server, addr net.Addr) *web {
	w := &web{s: s, addr: addr, ready: make(chan net.Conn), done: make(chan struct{})}
	w.dialTunnel = func(c *client, address string) { s.answerConnect(ctx, c, address) }
	w.finish = sync.OnceFunc(func() { close(w.done) })
	logger := log.New(complaints{s.log}, "", 0)
	w.server = http.Server{
		Handler:                      w,
		ReadHeaderTimeout:            s.cfg.HandshakeTimeout,
		IdleTimeout:                  webIdleTimeout,
		MaxHeaderBytes:               maxHeaderBytes,
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     logger,
		BaseContext:                  func(net.Listener) context.Context { return ctx },
		ConnContext:                  withClient,
		ConnState:                    connState,
	}
	w.once = w.transport()
	w.once.DisableKeepAlives = true
	w.plain = w.reverseProxy(logger)
	return w
}

// complaints is the log of net/http. Most lines are about clients. A panic, which net/http
// survives, is logged as an error.
type complaints struct{ log *slog.Logger }

// Write implements io.Writer.
func (c complaints) Write(p []byte) (int, error) {
	level := slog.LevelDebug
	if bytes.Contains(p, []byte("panic serving")) {
		level = slog.LevelError
	}
	c.log.Log(context.Background(), level, "proxy HTTP", "complaint", string(bytes.TrimSpace(p)))
	return len(p), nil
}

// take passes a client to net/http.
func (w *web) take(c *client) {
	c.SetDeadline(time.Time{}) // net/http has its own
	select {
	case w.ready <- c:
	case <-w.done:
		c.end()
	}
}

func (w *web) serve() { w.server.Serve(w) }

func (w *web) close() { w.server.Close() }

// Accept implements net.Listener.
func (w *web) Accept() (net.Conn, error) {
	select {
	case c := <-w.ready:
		return c, nil
	case <-w.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (w *web) Close() error { w.finish(); return nil }

// Addr implements net.Listener.
func (w *web) Addr() net.Addr { return w.addr }

// clientKey is the key of the client in the context of a request.
type clientKey struct{}

func withClient(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, clientKey{}, conn)
}

func clientOf(ctx context.Context) *client { return ctx.Value(clientKey{}).(*client) }

// connState ends a client when net/http is done with it. The caller of Hijack ends a hijacked
// client.
func connState(conn net.Conn, state http.ConnState) {
	c := conn.(*client)
	switch state {
	case http.StateHijacked:
		c.hijacked.Store(true)
	case http.StateClosed:
		c.end()
	}
}

// ServeHTTP implements http.Handler.
func (w *web) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	clientOf(r.Context()).settle()
	switch {
	case r.URL.Path == PACPath && r.URL.Host == "" && r.Method != http.MethodConnect:
		w.pac(rw, r)
	case !w.s.mayUse(r):
		rw.Header().Set("Proxy-Authenticate", `Basic realm="nexd", charset="UTF-8"`)
		explain(rw, http.StatusProxyAuthRequired, "This proxy needs a user name and a password that it knows.")
	case r.Method == http.MethodConnect:
		w.connect(rw, r)
	case r.URL.Scheme == "http" && r.URL.Host != "":
		w.forward(rw, r)
	case r.URL.Scheme != "" && r.URL.Host != "":
		explain(rw, http.StatusBadRequest, "This proxy fetches http:// addresses; for %s:// use CONNECT, which programs do when it is set as their HTTPS proxy.", r.URL.Scheme)
	default:
		explain(rw, http.StatusBadRequest, "This is a proxy, not a web server. Set it as the HTTP or SOCKS5 proxy of your program, for example:\n\n    curl -x socks5h://%s http://ADDRESS/", w.addr)
	}
}

// mayUse checks the Proxy-Authorization of a request.
func (s *server) mayUse(r *http.Request) bool {
	if s.cfg.Auth == nil {
		return true
	}
	const basic = "Authorization"
	asked := http.Request{Header: http.Header{basic: r.Header["Proxy-Authorization"]}}
	user, password, ok := asked.BasicAuth()
	return ok && s.cfg.Auth(user, password)
}

// connect serves CONNECT. It takes the connection from net/http before the dial, since net/http
// takes a client that has half-closed for one that is gone.
func (w *web) connect(rw http.ResponseWriter, r *http.Request) {
	address, err := splitTarget(r.Host)
	if err != nil {
		fail(rw, r.Host, err)
		return
	}
	conn, buf, err := http.NewResponseController(rw).Hijack()
	if err != nil {
		fail(rw, address, err)
		return
	}
	c := conn.(*client)
	c.takeBack(buf.Reader)
	go w.dialTunnel(c, address) // not here: this stack holds all of net/http's buffers
}

// answerConnect dials for a CONNECT request, answers the client and runs the tunnel.
func (s *server) answerConnect(ctx context.Context, c *client, address string) {
	target, err := s.dialFor(ctx, c, address)
	switch {
	case errors.Is(err, errClientGone):
		c.end()
	case err != nil:
		v := replyFor(err)
		c.answer(s.cfg.HandshakeTimeout, answerHTTP(v.status, "", explanation(reach, address, v.text, err)))
		c.dismiss()
	case c.answer(s.cfg.HandshakeTimeout, []byte("HTTP/1.1 200 Connection established\r\n\r\n")) != nil:
		target.Close()
		c.end()
	default:
		go s.tunnel(ctx, c, target, c.takeHead())
	}
}

const (
	textPlain = "text/plain; charset=utf-8"
	reach     = "Cannot reach %s: %s.\n\n%v"
)

// fail tells the client why a target cannot be reached.
func fail(rw http.ResponseWriter, address string, err error) {
	v := replyFor(err)
	explain(rw, v.status, reach, address, v.text, err)
}

func explain(rw http.ResponseWriter, status int, format string, args ...any) {
	rw.Header().Set("Content-Type", textPlain)
	rw.Header().Set("X-Content-Type-Options", "nosniff")
	rw.WriteHeader(status)
	io.WriteString(rw, explanation(format, args...))
}

func explanation(format string, args ...any) string {
	return fmt.Sprintf("nexd proxy\n\n"+format+"\n", args...)
}
