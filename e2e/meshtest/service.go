// Package meshtest runs a whole service inside a test, for tests of programs around a node.
package meshtest

import (
	"context"
	"net"
	"path/filepath"
	"testing"
	"time"

	"nexd/control"
	"nexd/mesh"
	"nexd/service"
	"nexd/service/hub"
	"nexd/service/relayserver"
	"nexd/service/store"
)

// Service is a real service on a real database, on the loopback of this process.
type Service struct {
	DB   string     // path of the database
	Addr string     // HOST:PORT, once it has started
	Key  string     // registration key, with the pin, for any number of nodes
	Org  mesh.OrgID // of the key

	// Set before Start.
	STUN  []string // STUN servers that nodes are told
	Relay bool     // it has a relay

	t    *testing.T
	stop func()
}

// New makes a service with an organization and a registration key. Start starts it.
func New(t *testing.T) *Service {
	t.Helper()
	s := &Service{t: t, DB: filepath.Join(t.TempDir(), "nexd.db"), Addr: "127.0.0.1:0", stop: func() {}}
	st, err := store.Open(t.Context(), s.DB, store.Options{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	cert, key, err := service.NewTLSKey(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	boot, err := st.Bootstrap(t.Context(), store.BootstrapParams{Email: "ada@example.org", PasswordHash: "-", TLSCert: cert, TLSKey: key, Key: &store.KeyParams{}})
	if err != nil {
		t.Fatal(err)
	}
	_, pin, err := service.LoadTLS(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := control.ParseRegKey(boot.KeySecret)
	if err != nil {
		t.Fatal(err)
	}
	s.Key, s.Org = parsed.WithPin(pin).Text(), boot.Organization.ID
	return s
}

// URL is the join URL without a pin; Key has the pin.
func (s *Service) URL() string { return "https://" + s.Addr }

// Stop ends the service; Start starts it again. The end of the test stops it, too.
func (s *Service) Stop() { s.stop() }

// Start serves, after a Stop on the same port.
func (s *Service) Start() {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	commits := hub.NewNotifier()
	st, err := store.Open(ctx, s.DB, store.Options{OnCommit: commits.Notify})
	if err != nil {
		s.t.Fatal(err)
	}
	meta, err := st.Meta(ctx)
	if err != nil {
		s.t.Fatal(err)
	}
	cert, _, err := service.LoadTLS(meta.TLSCert, meta.TLSKey)
	if err != nil {
		s.t.Fatal(err)
	}
	told, relayed := s.carry(ctx, meta)
	watchers, err := hub.New(hub.Config{Store: st, Notifier: commits})
	if err != nil {
		s.t.Fatal(err)
	}
	svc, err := service.New(ctx, service.Config{Store: st, Hub: watchers, Certificate: &cert, Relay: told})
	if err != nil {
		s.t.Fatal(err)
	}
	ln, err := net.Listen("tcp", s.Addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.Addr = ln.Addr().String()
	done := make(chan error, 1)
	go func() { done <- svc.Serve(ctx, ln) }()
	s.stop = func() {
		s.stop = func() {}
		cancel()
		if err := <-done; err != nil {
			s.t.Errorf("Serve = %v", err)
		}
		<-relayed
		st.Close()
	}
	s.t.Cleanup(func() { s.stop() })
}

// carry is the relay, if there is one, until ctx ends.
func (s *Service) carry(ctx context.Context, meta store.Meta) (told service.Relay, ended <-chan struct{}) {
	s.t.Helper()
	done := make(chan struct{})
	told.STUN = s.STUN
	if !s.Relay {
		close(done)
		return told, done
	}
	key, err := control.RelayKey(meta.Secret)
	if err != nil {
		s.t.Fatal(err)
	}
	r, err := relayserver.New(relayserver.Config{TokenKey: key})
	if err != nil {
		s.t.Fatal(err)
	}
	told.Handler = r
	go func() {
		defer close(done)
		if err := r.Run(ctx); err != nil {
			s.t.Error(err)
		}
	}()
	return told, done
}
