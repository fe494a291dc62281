package service

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"nexd/control"
	"nexd/internal/addrlimit"
	"nexd/mesh"
	"nexd/service/hub"
	"nexd/service/people"
	"nexd/service/store"
)

// Config is what a Service needs.
type Config struct {
	Store          *store.Store
	People         *people.People   // the rules of administration; nil = one over Store whose links are paths
	Pages          http.Handler     // serves every path outside of the API; nil = none
	Relay          Relay            // relay and STUN of this service
	Hub            *hub.Hub         // feeds the watch streams; nil = one over Store that polls
	Certificate    *tls.Certificate // nil = plain HTTP
	TrustedProxies []netip.Prefix   // believed in X-Forwarded-For
	Version        string           // of the program, for the OpenAPI document
	Logger         *slog.Logger     // nil = discard
	Now            func() time.Time // nil = time.Now
	Keepalive      time.Duration    // of watch streams; 0 = control.KeepaliveEvery
}

// Service is the JSON API and the watch streams. Make it with New, run it with Serve.
type Service struct {
	store     *store.Store
	people    *people.People
	log       *slog.Logger
	now       func() time.Time
	steady    *steady
	prover    *prover
	hub       *hub.Hub
	pin       control.Pin // of our own TLS key; zero over plain HTTP
	cert      *tls.Certificate
	keepalive time.Duration
	relay     Relay
	relayKey  []byte
	handler   http.Handler
	warnings  rate.Sometimes // about a database that cannot be used
	newer     rate.Sometimes // about nodes with newer maps than the database
	stop      sync.Once
	stopping  chan struct{} // closed to end all watches
}

// stopWithin is how long Serve lets running calls finish.
const stopWithin = 1200 * time.Millisecond

// New makes a service over a bootstrapped database.
func New(ctx context.Context, cfg Config) (*Service, error) {
	if cfg.Store == nil {
		return nil, mesh.Errorf(mesh.Invalid, "service: no store")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Keepalive == 0 {
		cfg.Keepalive = control.KeepaliveEvery
	}
	meta, err := cfg.Store.Meta(ctx)
	if err != nil {
		return nil, err
	}
	if cfg.People == nil {
		if cfg.People, err = people.New(people.Config{Store: cfg.Store, Logger: cfg.Logger, Now: cfg.Now}); err != nil {
			return nil, err
		}
	}
	if cfg.Hub == nil {
		if cfg.Hub, err = hub.New(hub.Config{Store: cfg.Store, Logger: cfg.Logger, Now: cfg.Now}); err != nil {
			return nil, err
		}
	}
	s := &Service{
		store: cfg.Store, people: cfg.People, now: cfg.Now, steady: newSteady(cfg.Now), log: cfg.Logger, cert: cfg.Certificate, keepalive: cfg.Keepalive,
		prover:   newProver(meta.Secret, cfg.Now),
		hub:      cfg.Hub,
		relay:    cfg.Relay,
		warnings: rate.Sometimes{First: 1, Interval: 10 * time.Second},
		newer:    rate.Sometimes{First: 1, Interval: time.Minute},
		stopping: make(chan struct{}),
	}
	if cfg.Certificate != nil {
		if cfg.Certificate.Leaf == nil {
			return nil, mesh.Errorf(mesh.Invalid, "service: certificate is not parsed")
		}
		s.pin = control.PinOf(cfg.Certificate.Leaf)
	}
	if s.relayKey, err = control.RelayKey(meta.Secret); err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	if cfg.Relay.Handler != nil {
		mux.Handle("GET "+control.PathRelay, cfg.Relay.Handler)
	}
	s.register(mux, cfg.Version)
	nothing := func(w http.ResponseWriter, r *http.Request) {
		writeProblem(w, control.ProblemOf(mesh.Errorf(mesh.NotFound, "service: there is no %s %s here", r.Method, r.URL.Path)))
	}
	mux.HandleFunc("/v1/", nothing)
	if cfg.Pages == nil {
		cfg.Pages = http.HandlerFunc(nothing)
	}
	mux.Handle("/", http.MaxBytesHandler(cfg.Pages, control.MaxRequest))
	s.handler = withCaller(cfg.TrustedProxies, logged(cfg.Logger, recovered(cfg.Logger, limited(addrlimit.New(cfg.Now, callInterval, callBurst), mux))))
	return s, nil
}

// Handler is the service as an HTTP handler. Its watch streams stay empty unless Serve
// or Run runs.
func (s *Service) Handler() http.Handler { return s.handler }

// Run feeds the watch streams and purges ended sessions until ctx ends. Serve does so,
// too.
func (s *Service) Run(ctx context.Context) {
	var tasks sync.WaitGroup
	defer tasks.Wait()
	tasks.Go(func() { s.purge(ctx) })
	s.hub.Run(ctx)
}

// purge removes ended sessions every hour.
func (s *Service) purge(ctx context.Context) {
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if n, err := s.store.Purge(ctx); err != nil {
				s.log.Warn("expired sessions could not be removed", "err", err)
			} else if n > 0 {
				s.log.Debug("ended sessions removed", "count", n)
			}
		}
	}
}

// Serve answers on ln until ctx ends, and returns when nothing of the service runs any
// more. Watches get a last event, and running calls have a moment to finish. A Service
// serves once.
func (s *Service) Serve(ctx context.Context, ln net.Listener) error {
	server := &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    control.MaxHeader,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	if s.cert != nil {
		server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{*s.cert}, MinVersion: tls.VersionTLS12}
	}
	var tasks sync.WaitGroup
	defer tasks.Wait()
	running, halt := context.WithCancel(context.WithoutCancel(ctx))
	defer halt()
	tasks.Go(func() { s.Run(running) })
	done := make(chan struct{})
	defer context.AfterFunc(ctx, func() { defer close(done); s.shutdown(server) })()

	err := s.listen(server, ln)
	if ctx.Err() != nil {
		<-done
		return nil
	}
	server.Close()
	return fmt.Errorf("service: serving on %v: %w", ln.Addr(), err)
}

func (s *Service) listen(server *http.Server, ln net.Listener) error {
	if s.cert != nil {
		return server.ServeTLS(ln, "", "")
	}
	return server.Serve(ln)
}

// shutdown ends the watches, lets calls finish, then cuts the rest off.
func (s *Service) shutdown(server *http.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), stopWithin)
	defer cancel()
	var mark sync.WaitGroup
	defer mark.Wait()
	watching := s.hub.Watching()
	mark.Go(func() { s.hub.Touch(ctx, watching) })
	s.stop.Do(func() { close(s.stopping) })
	if err := server.Shutdown(ctx); err != nil && !errors.Is(err, http.ErrServerClosed) {
		s.log.Debug("calls cut off at the end", "err", err)
		server.Close()
	}
}
