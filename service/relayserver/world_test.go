package relayserver_test

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"nexd/control"
	"nexd/internal/eventually"
	"nexd/internal/leak"
	"nexd/mesh"
	"nexd/relay"
	"nexd/service/relayserver"
)

// world is a relay on a real TLS socket.
type world struct {
	t    testing.TB
	key  []byte // of tokens
	srv  *relayserver.Server
	http *httptest.Server
	udp  string // where the relay takes datagrams; empty = nodes are not told
	stop func() // the relay, gracefully
}

func newWorld(t testing.TB, opts ...func(*relayserver.Config)) *world {
	t.Helper()
	leak.Check(t)
	key, err := control.RelayKey(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, key: key}
	w.start(opts...)
	return w
}

func (w *world) start(opts ...func(*relayserver.Config)) {
	w.t.Helper()
	cfg := relayserver.Config{TokenKey: w.key, SweepTime: 50 * time.Millisecond}
	if os.Getenv("NEXD_TEST_LOG") != "" {
		cfg.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	for _, o := range opts {
		o(&cfg)
	}
	srv, err := relayserver.New(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	w.srv, w.http = srv, httptest.NewUnstartedServer(srv)
	w.http.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	w.http.StartTLS()
	hs := w.http
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Run(ctx) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("Run: %v", err)
		}
		hs.Close()
	})
	w.t.Cleanup(func() { w.stop() })
}

func (w *world) token(org mesh.OrgID, key mesh.Key, life time.Duration) relay.Token {
	end := time.Now().Add(life)
	return relay.Token{
		Text:    control.SignRelayToken(w.key, control.RelayClaims{Org: org, Node: key, Expires: end}),
		Expires: end, URL: w.http.URL + control.PathRelay, UDP: w.udp,
	}
}

// got is a received packet.
type got struct {
	from   mesh.Key
	packet string
}

// member is a node with a running client.
type member struct {
	t      testing.TB
	key    mesh.PrivateKey
	client *relay.Client
	got    chan got
	stop   func()
}

func newKey(t testing.TB) mesh.PrivateKey {
	t.Helper()
	key, err := mesh.NewPrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func trusting(t testing.TB) *http.Client {
	tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}}}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// member starts a client and waits until it is connected.
func (w *world) member(org mesh.OrgID, opts ...func(*relay.Config)) *member {
	w.t.Helper()
	m := w.start1(org, newKey(w.t), opts...)
	m.wait(true)
	return m
}

func (w *world) start1(org mesh.OrgID, key mesh.PrivateKey, opts ...func(*relay.Config)) *member {
	w.t.Helper()
	m := &member{t: w.t, key: key, got: make(chan got, 1000)}
	cfg := relay.Config{
		Key: key, HTTP: trusting(w.t),
		Token: func(context.Context) (relay.Token, error) { return w.token(org, key.Public(), time.Hour), nil },
		Receive: func(from mesh.Key, packets ...[]byte) {
			for _, p := range packets {
				select {
				case m.got <- got{from, string(p)}:
				default:
				}
			}
		},
	}
	for _, o := range opts {
		o(&cfg)
	}
	var err error
	if m.client, err = relay.New(cfg); err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.client.Run(ctx) }()
	m.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("client: %v", err)
		}
	})
	w.t.Cleanup(m.stop)
	return m
}

func (m *member) wait(connected bool) {
	m.t.Helper()
	have := func() string {
		ok, why, _ := m.client.Connected()
		return fmt.Sprintf("connected is %v; it is %v: %s", connected, ok, why)
	}
	eventually.Shown(m.t, 10*time.Second, have, func() bool { ok, _, _ := m.client.Connected(); return ok == connected })
}

// next returns the next packet.
func (m *member) next() got {
	m.t.Helper()
	select {
	case g := <-m.got:
		return g
	case <-time.After(10 * time.Second):
		m.t.Fatalf("no packet came: %+v", m.client.Stats())
		return got{}
	}
}

// none checks that no packet arrives for a moment.
func (m *member) none(why string) {
	m.t.Helper()
	select {
	case g := <-m.got:
		m.t.Errorf("%s: %d bytes came from %v", why, len(g.packet), g.from.Short())
	case <-time.After(100 * time.Millisecond):
	}
}

// data looks like a WireGuard data message.
func data(n int, size int) []byte {
	p := make([]byte, size)
	p[0] = 4
	binary.LittleEndian.PutUint64(p[8:], uint64(n))
	return p
}

// hello looks like a WireGuard handshake initiation.
func hello(fill byte) []byte {
	p := []byte(strings.Repeat(string(rune(fill)), 148))
	copy(p, []byte{1, 0, 0, 0})
	return p
}

// badDatagrams is the number of datagrams that the relay dropped.
func badDatagrams(s relayserver.Stats) uint64 { return s.Forged + s.Repeated + s.NoSession }
