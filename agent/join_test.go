package agent

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nexd/control"
	"nexd/internal/eventually"
	"nexd/internal/leak"
	"nexd/mesh"
	"nexd/service"
	"nexd/service/hub"
	"nexd/service/relayserver"
	"nexd/service/store"
)

// testService is a real service on a real database, on the loopback.
type testService struct {
	t    *testing.T
	db   string
	addr string
	key  string // registration key, with the pin
	org  mesh.OrgID
	stop func()

	stun  []string // that nodes are told
	relay bool     // it has one
}

func newTestService(t *testing.T) *testService {
	t.Helper()
	s := &testService{t: t, db: filepath.Join(t.TempDir(), "nexd.db"), addr: "127.0.0.1:0", stop: func() {}}
	st, err := store.Open(t.Context(), s.db, store.Options{Create: true})
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
	s.key, s.org = parsed.WithPin(pin).Text(), boot.Organization.ID
	return s
}

// start serves, again on the same port after a stop.
func (s *testService) start() {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	commits := hub.NewNotifier()
	st, err := store.Open(ctx, s.db, store.Options{OnCommit: commits.Notify})
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
	ln, err := net.Listen("tcp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.addr = ln.Addr().String()
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
func (s *testService) carry(ctx context.Context, meta store.Meta) (told service.Relay, ended <-chan struct{}) {
	s.t.Helper()
	done := make(chan struct{})
	told.STUN = s.stun
	if !s.relay {
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

func (s *testService) config(t *testing.T, name string) Config {
	return Config{
		ServiceURL: "https://" + s.addr, RegKey: s.key, Hostname: name, StateDir: shortDir(t),
		ProxyListen: []string{"off"}, Logger: slog.New(slog.DiscardHandler),
	}
}

func TestJoinRestartOutageAndRemoval(t *testing.T) {
	leak.Check(t)
	s := newTestService(t)
	s.start()
	cfg := s.config(t, "Node One!")
	cfg.Advertise = advertise(t, "172.24.0.0/24")
	first := run(t, cfg)
	st, err := first.client().Status(t.Context())
	if err != nil || st.Node.Name != "node-one" || st.Organization != "default" || len(st.Node.Prefixes) != 1 || !st.Service.Connected {
		t.Fatalf("status = %+v, %v", st, err)
	}
	first.stop()

	cfg.RegKey, cfg.ServiceURL = "", "" // both are in the state now
	again := run(t, cfg)
	if again.ready.Name != "node-one" || again.ready.Addresses[0] != first.ready.Addresses[0] {
		t.Errorf("came back as %+v", again.ready)
	}
	again.stop()

	s.stop()
	away := run(t, cfg) // by the cached map
	st, err = away.client().Status(t.Context())
	if err != nil || st.State != "running" || st.Service.Connected || st.Service.Error == "" || st.Node.Name != "node-one" {
		t.Errorf("status without the service = %+v, %v", st, err)
	}
	s.start()
	eventually.True(t, "the service is connected again", func() bool {
		st, err := away.client().Status(t.Context())
		return err == nil && st.Service.Connected
	})

	db, err := store.Open(t.Context(), s.db, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.RemoveNode(t.Context(), s.org, string(st.Node.ID)); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-away.done:
		away.cancel()
		away.cancel = nil
		if control.ReasonOf(err) != control.ReasonGone || !strings.Contains(err.Error(), "removed") {
			t.Errorf("a removed node ends with %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("a removed node goes on")
	}
}

func TestFirstJoinThatCannotWork(t *testing.T) {
	leak.Check(t)
	s := newTestService(t)
	s.start()
	holder := s.config(t, "holder")
	holder.Advertise = advertise(t, "172.24.0.0/24")
	run(t, holder)
	pin := strings.Repeat("ab", 32)
	for _, tt := range []struct {
		name  string
		tweak func(*Config)
		want  string
	}{
		{"no key", func(c *Config) {
			c.ServiceURL += "/#pin=" + c.RegKey[strings.LastIndex(c.RegKey, "_")+1:]
			c.RegKey = ""
		}, "registration key"},
		{"wrong pin", func(c *Config) { c.ServiceURL += "/#pin=" + pin; c.RegKey = "" }, "pin"},
		{"two pins", func(c *Config) { c.ServiceURL += "/#pin=" + pin }, "another"},
		{"conflict", func(c *Config) { c.Advertise = advertise(t, "172.24.0.128/25") }, "holder"},
		{"a prefix nobody may have", func(c *Config) { c.Advertise = advertise(t, "127.0.0.0/8") }, "127.0.0.0/8"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := s.config(t, "x")
			tt.tweak(&cfg)
			cfg.Mode, cfg.Socket = Userspace, filepath.Join(cfg.StateDir, "s")
			err := Run(t.Context(), cfg)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Run = %v, want an error with %q", err, tt.want)
			}
			if _, err := os.Stat(filepath.Join(cfg.StateDir, mapFile)); err == nil {
				t.Error("a network map was kept")
			}
		})
	}
}

func TestIdentityStaysWithItsService(t *testing.T) {
	n := &node{state: &state{dir: "D", identity: identity{Node: "n"}}}
	kept := control.JoinURL{Scheme: "https", Host: "a:1", Pin: control.Pin{1}}
	for _, tt := range []struct {
		url  control.JoinURL
		want string
	}{
		{control.JoinURL{Scheme: "https", Host: "a:1", Pin: control.Pin{1}}, ""},
		{control.JoinURL{Scheme: "https", Host: "a:1"}, ""},
		{control.JoinURL{Scheme: "https", Host: "b:1"}, "--state-dir"},
		{control.JoinURL{Scheme: "https", Host: "a:1", Pin: control.Pin{2}}, "new key"},
	} {
		url := tt.url
		err := n.sameService(&kept, &url)
		if (err != nil) != (tt.want != "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("sameService(%v) = %v, want %q", tt.url, err, tt.want)
		}
		if err == nil && url.Pin != kept.Pin {
			t.Errorf("the way of trust changed to %v", url.Pin)
		}
	}
}

func TestWhatEndsAMember(t *testing.T) {
	answered := func(k mesh.Kind, reason string) error { return control.Errorf(k, reason, "the service says no") }
	between := func(k mesh.Kind) error { return mesh.Errorf(k, "something between says no") }
	for _, tt := range []struct {
		name               string
		err                error
		cached, registered bool
		want               bool
	}{
		{"removed", answered(mesh.Denied, control.ReasonGone), true, true, true},
		{"another agent took over", answered(mesh.Conflict, control.ReasonReplaced), true, true, false},
		{"conflict at the first word", answered(mesh.Conflict, ""), true, false, true},
		{"conflict later", answered(mesh.Conflict, ""), true, true, false},
		{"wrong pin, nothing to live by", between(mesh.Denied), false, false, true},
		{"wrong pin, a map to live by", between(mesh.Denied), true, false, false},
		{"unreachable", between(mesh.Unavailable), false, false, false},
		{"database away", answered(mesh.Unavailable, ""), false, false, false},
		{"foreign", errors.New("?"), false, false, false},
	} {
		m := &member{cached: tt.cached}
		if got := m.final(tt.err, tt.registered); got != tt.want {
			t.Errorf("%s: final = %v", tt.name, got)
		}
	}
}

func TestLinkSaysEachChangeOnce(t *testing.T) {
	var lines strings.Builder
	log := slog.New(slog.NewTextHandler(&lines, nil))
	l := &link{url: "https://a"}
	down := errors.New("refused")
	for range 5 {
		l.lost(down, log)
	}
	l.up(log)
	l.up(log)
	l.lost(down, log)
	l.lost(down, log)
	if got := strings.Count(lines.String(), "\n"); got != 3 {
		t.Errorf("%d lines, want 3:\n%s", got, &lines)
	}
	if first, _, _ := strings.Cut(lines.String(), "\n"); !strings.Contains(first, "service not reached") || strings.Count(lines.String(), "service lost") != 1 {
		t.Errorf("a service that never was there is not lost:\n%s", &lines)
	}
	if on, since, err := l.state(); on || since.IsZero() || err == nil {
		t.Errorf("state = %v %v %v", on, since, err)
	}
}
