package service_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"nexd/control"
	"nexd/internal/leak"
	"nexd/mesh"
	"nexd/netmap"
	"nexd/service"
	"nexd/service/hub"
	"nexd/service/store"
)

// world is a database in a temporary directory and services over it, on real
// sockets with real TLS.
type world struct {
	t    *testing.T
	db   string
	boot store.Bootstrapped
	cert tls.Certificate
	pin  control.Pin
	log  *slog.Logger
	// removed hears which keys an organization has lost; nil = nobody does.
	removed func(mesh.OrgID, mesh.Key)
}

// replica is one running service.
type replica struct {
	store *store.Store
	svc   *service.Service
	url   control.JoinURL
	stop  func()
}

func newWorld(t *testing.T) *world {
	leak.Check(t)
	w := &world{t: t, db: filepath.Join(t.TempDir(), "nexd.db"), log: slog.New(slog.DiscardHandler)}
	st, err := store.Open(t.Context(), w.db, store.Options{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	certPEM, keyPEM, err := service.NewTLSKey(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	w.boot, err = st.Bootstrap(t.Context(), store.BootstrapParams{
		Email: "ada@example.com", PasswordHash: "x", TLSCert: certPEM, TLSKey: keyPEM, Key: &store.KeyParams{},
	})
	if err != nil {
		t.Fatal(err)
	}
	if w.cert, w.pin, err = service.LoadTLS(certPEM, keyPEM); err != nil {
		t.Fatal(err)
	}
	return w
}

type option func(*service.Config, *store.Options)

// start runs a service until the test ends or its stop is called.
func (w *world) start(opts ...option) *replica {
	w.t.Helper()
	notifier := hub.NewNotifier()
	cfg := service.Config{Certificate: &w.cert, Logger: w.log}
	so := store.Options{OnCommit: notifier.Notify}
	for _, o := range opts {
		o(&cfg, &so)
	}
	st, err := store.Open(w.t.Context(), w.db, so)
	if err != nil {
		w.t.Fatal(err)
	}
	cfg.Store = st
	if cfg.Hub, err = hub.New(hub.Config{Store: st, Notifier: notifier, Logger: w.log, Removed: w.removed}); err != nil {
		w.t.Fatal(err)
	}
	svc, err := service.New(w.t.Context(), cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- svc.Serve(ctx, ln) }()
	r := &replica{store: st, svc: svc, url: control.JoinURL{Scheme: "https", Host: ln.Addr().String(), Pin: w.pin}}
	if cfg.Certificate == nil {
		r.url.Scheme, r.url.Pin = "http", control.Pin{}
	}
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("Serve: %v", err)
		}
		st.Close()
	})
	w.t.Cleanup(r.stop)
	return r
}

// node is one agent's half: a key and a client.
type node struct {
	t       *testing.T
	key     mesh.PrivateKey
	client  *control.Client
	session string // opened at the last registration
}

func (r *replica) node(t *testing.T) *node {
	t.Helper()
	key, err := mesh.NewPrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	return r.nodeWith(t, key)
}

func (r *replica) nodeWith(t *testing.T, key mesh.PrivateKey) *node {
	t.Helper()
	c, err := control.NewClient(control.Config{
		URL: r.url, Key: key, Insecure: r.url.Scheme == "http", Version: "test",
		Proxy: func(*http.Request) (*url.URL, error) { return nil, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return &node{t: t, key: key, client: c}
}

// register joins with a registration key, which may be empty.
func (n *node) register(key, host string, prefixes ...string) (control.Registered, error) {
	reg, err := n.client.Register(n.t.Context(), control.Registration{
		RegKey: key, Hostname: host, OS: "linux", Version: "test", Prefixes: prefixesOf(prefixes), ListenPort: 51820,
	})
	if err == nil {
		n.session = reg.Session.Token
	}
	return reg, err
}

// advertise sets what the node advertises, as PUT /v1/node/prefixes.
func (n *node) advertise(prefixes ...string) (out control.PrefixAnswer, err error) {
	return out, n.call(http.MethodPut, control.PathPrefixes, control.PrefixUpdate{Prefixes: prefixesOf(prefixes)}, &out)
}

// leave removes the node, as DELETE /v1/node.
func (n *node) leave() error { return n.call(http.MethodDelete, control.PathNode, nil, nil) }

// call makes a call with the session of the last registration, which agents of today
// do not make.
func (n *node) call(method, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, n.client.URL().Base()+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+n.session)
	r.Header.Set("Content-Type", control.TypeJSON)
	resp, err := n.client.HTTP().Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if p, ok := control.ParseProblem(answer); ok {
		return p.Err("test")
	}
	if resp.StatusCode == http.StatusNoContent {
		return nil
	}
	return json.Unmarshal(answer, out)
}

func (n *node) mustRegister(key, host string, prefixes ...string) control.Registered {
	n.t.Helper()
	reg, err := n.register(key, host, prefixes...)
	if err != nil {
		n.t.Fatalf("register %s: %v", host, err)
	}
	return reg
}

// watching is an open watch whose joined map can be waited for.
type watching struct {
	t    *testing.T
	stop func()
	done chan error // why the watch ended

	mu     sync.Mutex
	view   *netmap.View
	events []control.EventType
	revs   []uint64 // of the maps that came
	bell   chan struct{}
}

func (n *node) watch(have *mesh.NetworkMap) *watching {
	n.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	w := &watching{t: n.t, done: make(chan error, 1), bell: make(chan struct{}, 1)}
	w.view, _ = netmap.New(nil).Replace(have)
	w.stop = sync.OnceFunc(cancel)
	version := w.view.Version
	go func() {
		w.done <- n.client.Watch(ctx, version, func(e control.Event) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.events = append(w.events, e.Type)
			if e.Type == control.EventMap {
				w.revs = append(w.revs, e.Map.Rev)
			}
			if e.Type == control.EventLive {
				w.view, _ = w.view.Update(e.Nodes, e.Whole)
			} else {
				w.view, _ = w.view.Replace(e.Map)
			}
			select {
			case w.bell <- struct{}{}:
			default:
			}
			return nil
		})
		close(w.done)
	}()
	n.t.Cleanup(func() { w.stop(); <-w.done })
	return w
}

// until waits for a map of which ok is true.
func (w *watching) until(what string, ok func(*mesh.NetworkMap) bool) *mesh.NetworkMap {
	w.t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		w.mu.Lock()
		m := w.view.Source()
		w.mu.Unlock()
		if m != nil && ok(m) {
			return m
		}
		select {
		case <-w.bell:
		case <-deadline:
			w.t.Fatalf("waited for %s, have %+v", what, m)
		}
	}
}

// ended waits for the end of the watch and says why.
func (w *watching) ended() error {
	w.t.Helper()
	select {
	case err := <-w.done:
		return err
	case <-time.After(10 * time.Second):
		w.t.Fatal("the watch did not end")
		return nil
	}
}

func (w *watching) seen() []control.EventType {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]control.EventType(nil), w.events...)
}

// nodeNamed is the node of a name in a map, the receiver's own included.
func nodeNamed(m *mesh.NetworkMap, name string) (mesh.Node, bool) {
	for _, n := range append(slices.Clip(m.Peers), m.Self) {
		if n.Name == name {
			return n, true
		}
	}
	return mesh.Node{}, false
}

func hasPeer(name string) func(*mesh.NetworkMap) bool {
	return func(m *mesh.NetworkMap) bool {
		_, ok := nodeNamed(m, name)
		return ok && m.Self.Name != name
	}
}

func prefixesOf(texts []string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range texts {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// insecureHTTP is a plain HTTP client that trusts everybody, for raw requests.
func insecureHTTP(t *testing.T) *http.Client {
	tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 10 * time.Second}
}

func bodyOf(t *testing.T, r *http.Response) []byte {
	t.Helper()
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
