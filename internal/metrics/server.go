package metrics

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"nexd/mesh"
)

// CheckAddr returns an error unless addr has the form [HOST]:PORT.
func CheckAddr(addr string) error {
	if _, port, err := net.SplitHostPort(addr); err != nil || port == "" {
		return mesh.Errorf(mesh.Invalid, "--metrics-listen=%s is not of the form [HOST]:PORT", addr)
	}
	return nil
}

// Server serves /metrics on one address. Make it with Listen and run it with Run.
type Server struct {
	log  *slog.Logger
	ln   net.Listener
	http http.Server
}

// Listen opens the address. The server answers once Run is called.
func Listen(addr string, source Source, log *slog.Logger) (*Server, error) {
	if err := CheckAddr(addr); err != nil {
		return nil, err
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, listenError(addr, err)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collector{source})
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}))
	log.Info("metrics", "addr", ln.Addr())
	return &Server{log: log, ln: ln, http: http.Server{
		Handler: mux, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}}, nil
}

// Addr is the address that the server listens on.
func (s *Server) Addr() net.Addr { return s.ln.Addr() }

// Run serves until ctx ends, and then closes the listener and every connection. It does nothing on
// nil.
func (s *Server) Run(ctx context.Context) {
	if s == nil {
		return
	}
	defer context.AfterFunc(ctx, func() { s.http.Close() })()
	if err := s.http.Serve(s.ln); ctx.Err() == nil {
		s.log.Error("metrics are no longer served", "addr", s.ln.Addr(), "err", err)
	}
}

// Close closes the listener of a server that does not run. It does nothing on nil.
func (s *Server) Close() {
	if s != nil {
		s.ln.Close()
	}
}

// listenError names the address and the way out.
func listenError(addr string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return mesh.Errorf(mesh.Conflict, "--metrics-listen=%s: %s is in use by another program; choose another address", addr, addr)
	case errors.Is(err, syscall.EACCES):
		return mesh.Errorf(mesh.Denied, "--metrics-listen=%s: not allowed to listen there; ports below 1024 need a privilege, choose another port", addr)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return mesh.Errorf(mesh.Invalid, "--metrics-listen=%s is not an address of this machine; choose another", addr)
	}
	return mesh.Errorf(mesh.Unavailable, "--metrics-listen=%s: %s", addr, strings.TrimPrefix(err.Error(), "listen tcp: "))
}
