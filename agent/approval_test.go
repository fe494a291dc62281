package agent

import (
	"context"
	"encoding/json"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"nexd/agent/localapi"
	"nexd/control"
	"nexd/internal/eventually"
	"nexd/internal/leak"
	"nexd/internal/testmap"
	"nexd/mesh"
	"nexd/node"
	"nexd/node/state"
)

// askingService is a fake of the wire: a service at which a person decides.
type askingService struct {
	*httptest.Server

	mu        sync.Mutex
	decision  error // to polls; nil approves
	expiresIn int
	away      int  // registrations with an approval to fail with 503
	known     bool // the node has been let in
	asked     []control.DeviceLoginRequest
	polls     int
	approvals []string // of the registrations
}

var errPending = control.Errorf(mesh.Unavailable, control.ReasonPending, "people: not decided yet")

func newAskingService(t *testing.T) *askingService {
	s := &askingService{decision: errPending, expiresIn: 60}
	s.Server = httptest.NewUnstartedServer(s)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// url is the service's with its pin.
func (s *askingService) url() string {
	return s.URL + "/#pin=" + control.PinOf(s.Certificate()).String()
}

func (s *askingService) decide(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.decision = err
}

// counts are the device logins, polls and registrations so far.
func (s *askingService) counts() (logins, polls, registrations int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.asked), s.polls, len(s.approvals)
}

func (s *askingService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	if r.URL.Path == control.PathWatch {
		s.watch(w, r)
		return
	}
	out, err := s.answer(r.URL.Path, body)
	if err != nil {
		p := control.ProblemOf(err)
		w.Header().Set("Content-Type", control.TypeProblem)
		w.WriteHeader(p.Status)
		json.NewEncoder(w).Encode(p)
		return
	}
	w.Header().Set("Content-Type", control.TypeJSON)
	json.NewEncoder(w).Encode(out)
}

const deviceCode = "device-code-that-is-secret"

func (s *askingService) answer(path string, body []byte) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch path {
	case control.PathChallenge:
		return control.Challenge{ServiceKey: mesh.Key{9}}, nil
	case control.PathDeviceLogin:
		var ask control.DeviceLoginRequest
		json.Unmarshal(body, &ask)
		s.asked = append(s.asked, ask)
		return control.DeviceLogin{DeviceCode: deviceCode, UserCode: "WDJB-MJHT", VerificationURI: "/device", ExpiresIn: s.expiresIn, Interval: 1}, nil
	case control.PathDeviceToken:
		s.polls++
		return control.DeviceToken{Organization: "default"}, s.decision
	case control.PathRegister:
		return s.register(body)
	}
	return control.EndpointAnswer{}, nil
}

func (s *askingService) register(body []byte) (any, error) {
	var r control.Registration
	json.Unmarshal(body, &r)
	s.approvals = append(s.approvals, r.Approval)
	switch {
	case r.RegKey != "":
		return nil, control.Errorf(mesh.Denied, control.ReasonRegKey, "store: registration key is revoked")
	case s.known:
	case r.Approval == "":
		return nil, control.Errorf(mesh.Denied, control.ReasonRegKeyNeeded, "service: unknown node without a registration key")
	case s.away > 0:
		s.away--
		return nil, control.Errorf(mesh.Unavailable, "", "service: database away")
	case r.Approval != deviceCode || s.decision != nil:
		return nil, control.Errorf(mesh.Denied, control.ReasonApproval, "people: unknown approval")
	}
	s.known = true
	return control.Registered{
		Node: s.self(r.PublicKey), Organization: "default", Created: true, Session: control.Session{Token: r.PublicKey.String()},
	}, nil
}

func (s *askingService) self(key mesh.Key) mesh.Node {
	return mesh.Node{ID: "n_1", Name: "laptop", Key: key, Addresses: testmap.Addrs("100.64.0.9")}
}

func (s *askingService) watch(w http.ResponseWriter, r *http.Request) {
	key, _ := mesh.ParseKey(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	w.Header().Set("Content-Type", control.TypeStream)
	for _, e := range []control.Event{
		{Type: control.EventMap, Map: &mesh.NetworkMap{
			Version: mesh.Version{Epoch: "e", Rev: 1}, Organization: "default", Pools: testmap.Prefixes("100.64.0.0/10"), Self: s.self(key),
		}},
		{Type: control.EventLive, Seq: 1, Whole: true},
	} {
		line, _ := e.Line()
		w.Write(line)
	}
	w.(http.Flusher).Flush()
	<-r.Context().Done()
}

// waiter is an agent that joins without a key.
type waiter struct {
	cfg    Config
	shown  chan node.Approval
	ready  chan Ready
	done   chan error
	cancel context.CancelFunc
	log    *lockedBuffer
}

// lockedBuffer is a log that may be read while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func join(t *testing.T, s *askingService, dir string, change func(*Config)) *waiter {
	t.Helper()
	w := &waiter{shown: make(chan node.Approval, 8), ready: make(chan Ready, 1), done: make(chan error, 1), log: new(lockedBuffer)}
	w.cfg = Config{
		Config: node.Config{
			ServiceURL: s.url(), Hostname: "laptop", StateDir: dir, Mode: node.Userspace,
			Logger:  slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
			Approve: func(a node.Approval) { w.shown <- a },
		},
		Socket: filepath.Join(dir, "s"), ProxyListen: []string{"off"}, Ready: func(r Ready) { w.ready <- r },
	}
	if change != nil {
		change(&w.cfg)
	}
	ctx, cancel := context.WithCancel(context.Background())
	w.cancel = cancel
	go func() { w.done <- Run(ctx, w.cfg) }()
	t.Cleanup(func() {
		cancel()
		if strings.Contains(w.log.String(), deviceCode) {
			t.Error("the log shows the device code")
		}
	})
	return w
}

func within[T any](t *testing.T, what string, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(10 * time.Second):
		t.Fatalf("no %s within 10 s", what)
	}
	return v
}

func TestAPersonLetsANodeIn(t *testing.T) {
	leak.Check(t)
	s := newAskingService(t)
	s.away = 1
	dir := shortDir(t)
	w := join(t, s, dir, func(c *Config) { c.Advertise = testmap.Advertise(t, "172.24.0.0/24") })
	a := within(t, "link", w.shown)
	key, err := state.PublicKey(dir)
	if err != nil {
		t.Fatal(err)
	}
	if a.Link != s.URL+"/device?user_code=WDJB-MJHT" || a.Page != s.URL+"/device" || a.Code != "WDJB-MJHT" || a.Fingerprint != control.Fingerprint(key) || time.Until(a.Expires) < 50*time.Second {
		t.Errorf("shown: %+v", a)
	}
	if got := s.asked[0]; got.PublicKey != key || got.Hostname != "laptop" || len(got.Prefixes) != 1 || got.OS == "" {
		t.Errorf("asked: %+v", got)
	}
	st, err := localapi.NewClient(w.cfg.Socket).Status(t.Context())
	if err != nil || st.State != localapi.StateWaiting || st.Approval == nil || st.Approval.Link != a.Link || st.Approval.Code != a.Code || len(st.Health) > 0 {
		t.Errorf("status while waiting: %+v, %v", st, err)
	}
	eventually.True(t, "the node polls", func() bool { _, polls, _ := s.counts(); return polls > 0 })
	s.decide(nil)
	if r := within(t, "ready", w.ready); r.Name != "laptop" {
		t.Errorf("ready: %+v", r)
	}
	st, err = localapi.NewClient(w.cfg.Socket).Status(t.Context())
	if err != nil || st.State != "running" || st.Approval != nil {
		t.Errorf("status afterwards: %+v, %v", st, err)
	}
	w.cancel()
	if err := within(t, "end", w.done); err != nil {
		t.Errorf("Run = %v", err)
	}

	again := join(t, s, dir, nil)
	within(t, "ready after a restart", again.ready)
	again.cancel()
	within(t, "end", again.done)
	if logins, _, _ := s.counts(); logins != 1 || s.approvals[len(s.approvals)-1] != "" {
		t.Errorf("a known node asked %d times; approvals %q", logins, s.approvals)
	}

	s.mu.Lock()
	s.known = false // removed from its organization
	s.mu.Unlock()
	gone := join(t, s, dir, nil)
	err = within(t, "end", gone.done)
	if mesh.KindOf(err) != mesh.Denied || !strings.Contains(err.Error(), "removed from its organization") || !strings.Contains(err.Error(), "--state-dir") {
		t.Errorf("a removed node: %v", err)
	}
	if logins, _, _ := s.counts(); logins != 1 {
		t.Error("a removed node asked to be let in")
	}
}

func TestADeviceLoginThatEndsBadly(t *testing.T) {
	leak.Check(t)
	for _, tt := range []struct {
		name   string
		change func(*askingService)
		reason string
		want   string
	}{
		{"denied", func(s *askingService) {
			s.decision = control.Errorf(mesh.Denied, control.ReasonAccessDenied, "people: denied")
		}, control.ReasonAccessDenied, "request to join was denied"},
		{"expired there", func(s *askingService) {
			s.decision = control.Errorf(mesh.Denied, control.ReasonExpiredToken, "people: expired")
		}, control.ReasonExpiredToken, "run the same command again"},
		{"expired here", func(s *askingService) { s.expiresIn = 1 }, control.ReasonExpiredToken, "run the same command again"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newAskingService(t)
			tt.change(s)
			dir := shortDir(t)
			w := join(t, s, dir, nil)
			err := within(t, "end", w.done)
			if mesh.KindOf(err) != mesh.Denied || control.ReasonOf(err) != tt.reason || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Run = %v", err)
			}
			nothingJoined(t, s, dir)
		})
	}
}

// nothingJoined checks that a node that was not let in asked once, registered
// nothing, and kept its key.
func nothingJoined(t *testing.T, s *askingService, dir string) {
	t.Helper()
	if logins, _, registrations := s.counts(); logins != 1 || registrations != 1 || s.approvals[0] != "" {
		t.Errorf("%d device logins, registrations with approvals %q", logins, s.approvals)
	}
	st, err := state.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if st.Node != "" || st.Service != nil {
		t.Errorf("kept: node %q of %v", st.Node, st.Service)
	}
	if _, err := os.Stat(filepath.Join(dir, "map.json")); err == nil {
		t.Error("a network map was kept")
	}
}

func TestAWaitingNodeEndsAtOnce(t *testing.T) {
	leak.Check(t)
	s := newAskingService(t)
	dir := shortDir(t)
	w := join(t, s, dir, nil)
	within(t, "link", w.shown)
	start := time.Now()
	w.cancel()
	if err := within(t, "end", w.done); err != nil || time.Since(start) > 5*time.Second {
		t.Errorf("Run = %v after %v", err, time.Since(start))
	}
	nothingJoined(t, s, dir)

	down := join(t, s, dir, nil)
	within(t, "link", down.shown)
	if err := localapi.NewClient(down.cfg.Socket).Down(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := within(t, "end", down.done); err != nil {
		t.Errorf("nexd down: Run = %v", err)
	}
}

func TestWithAKeyNobodyIsAsked(t *testing.T) {
	leak.Check(t)
	s := newAskingService(t)
	for name, change := range map[string]func(*Config){
		"a bad key":     func(c *Config) { c.RegKey = "nxk_" + strings.Repeat("a", 32) },
		"nobody to ask": func(c *Config) { c.Approve = nil },
	} {
		err := within(t, "end", join(t, s, shortDir(t), change).done)
		if mesh.KindOf(err) != mesh.Denied || !strings.Contains(err.Error(), "registration key") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if logins, _, _ := s.counts(); logins != 0 {
		t.Error("a device login was started")
	}
}

func TestAServiceNobodyVouchesForIsRefused(t *testing.T) {
	leak.Check(t)
	s := newAskingService(t)
	for name, tt := range map[string]struct{ url, want string }{
		"no pin":    {s.URL, "use the URL " + s.url()},
		"wrong pin": {s.URL + "/#pin=" + strings.Repeat("ab", 32), "another service answers there"},
	} {
		err := within(t, "end", join(t, s, shortDir(t), func(c *Config) { c.ServiceURL = tt.url }).done)
		if mesh.KindOf(err) != mesh.Denied || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
	if logins, _, registrations := s.counts(); logins+registrations != 0 {
		t.Error("something was said to a service that is not trusted")
	}
}
