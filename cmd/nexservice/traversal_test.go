package main

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"nexd/control"
	"nexd/internal/eventually"
	"nexd/internal/leak"
	"nexd/internal/program"
	wire "nexd/internal/stun"
	"nexd/mesh"
	"nexd/relay"
)

// bound is a node with its key, registered.
type bound struct {
	key  mesh.PrivateKey
	ctl  *control.Client
	got  chan string
	link *relay.Client
}

func register(t *testing.T, rawURL, rawKey, name string) *bound {
	t.Helper()
	u, err := control.ParseJoinURL(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	k, err := control.ParseRegKey(strings.TrimSpace(rawKey))
	if err != nil {
		t.Fatal(err)
	}
	b := &bound{got: make(chan string, 10)}
	if b.key, err = mesh.NewPrivateKey(); err != nil {
		t.Fatal(err)
	}
	if b.ctl, err = control.NewClient(control.Config{URL: u, Key: b.key}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.ctl.Close)
	if _, err := b.ctl.Register(t.Context(), control.Registration{RegKey: k.Secret(), Hostname: name}); err != nil {
		t.Fatal(err)
	}
	return b
}

// connect runs the node's relay client.
func (b *bound) connect(t *testing.T) {
	t.Helper()
	var err error
	b.link, err = relay.New(relay.Config{
		Key: b.key, HTTP: b.ctl.HTTP(), Receive: func(_ mesh.Key, packets ...[]byte) {
			for _, p := range packets {
				b.got <- string(p)
			}
		},
		Token: func(ctx context.Context) (relay.Token, error) {
			tok, err := b.ctl.RelayToken(ctx)
			if err != nil || len(tok.URLs) == 0 {
				return relay.Token{}, err
			}
			return relay.Token{Text: tok.Token, Expires: tok.Expires, URL: tok.URLs[0]}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); b.link.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	var why string
	eventually.Shown(t, eventually.Patience, func() string { return "connected: " + why }, func() (ok bool) {
		ok, why, _ = b.link.Connected()
		return ok
	})
}

func TestServeCarriesAndAnswersSTUN(t *testing.T) {
	leak.Check(t)
	db, keyFile := bootstrapped(t)
	ready, stop := serve(t, "--db="+db, "--stun-listen=127.0.0.1:0", "--stun-listen=[::1]:0")
	url := strings.Fields(ready)[1]
	a, b := register(t, url, readFile(t, keyFile), "a"), register(t, url, readFile(t, keyFile), "b")
	tok, err := a.ctl.RelayToken(t.Context())
	if err != nil || len(tok.STUN) != 2 {
		t.Fatalf("%+v, %v", tok, err)
	}
	for _, at := range tok.STUN {
		c, err := net.Dial("udp", at)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		id := wire.NewTxID()
		c.Write(wire.AppendRequest(nil, id))
		c.SetReadDeadline(time.Now().Add(5 * time.Second))
		buf := make([]byte, 100)
		n, err := c.Read(buf)
		if err != nil {
			t.Fatalf("%s: %v", at, err)
		}
		if r, err := wire.ParseResponse(buf[:n]); err != nil || r.ID != id || r.Mapped != c.LocalAddr().(*net.UDPAddr).AddrPort() {
			t.Errorf("%s: %+v, %v; asked from %v", at, r, err, c.LocalAddr())
		}
	}
	a.connect(t)
	b.connect(t)
	keepalive := string(append([]byte{4}, make([]byte, 31)...))
	if err := a.link.Send(b.key.Public(), []byte(keepalive)); err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-b.got:
		if got != keepalive {
			t.Errorf("%x came", got)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("nothing came")
	}
	removedNodeIsCut(t, db, a, b)
	began := time.Now()
	if code := stop(); code != program.ExitFine || time.Since(began) > 5*time.Second {
		t.Errorf("exit %d after %v", code, time.Since(began))
	}
}

// removedNodeIsCut removes b by a command beside the service, which a watches.
func removedNodeIsCut(t *testing.T, db string, a, b *bound) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	seen, ended := make(chan struct{}, 1), make(chan struct{})
	go func() {
		defer close(ended)
		a.ctl.Watch(ctx, mesh.Version{}, func(e control.Event) error {
			if e.Type == control.EventMap {
				select {
				case seen <- struct{}{}:
				default:
				}
			}
			return nil
		})
	}()
	defer func() { cancel(); <-ended }()
	select {
	case <-seen:
	case <-time.After(30 * time.Second):
		t.Fatal("no map")
	}
	must(t, "node", "remove", "b", "--db="+db)
	eventually.True(t, "the relay cuts off the removed node", func() bool { ok, _, _ := b.link.Connected(); return !ok })
}

func TestServeWithoutARelay(t *testing.T) {
	leak.Check(t)
	db, keyFile := bootstrapped(t)
	ready, _ := serve(t, "--db="+db, "--relay=off")
	a := register(t, strings.Fields(ready)[1], readFile(t, keyFile), "a")
	tok, err := a.ctl.RelayToken(t.Context())
	if err != nil || tok.Token != "" || len(tok.URLs) != 0 {
		t.Errorf("%+v, %v", tok, err)
	}
	resp, err := a.ctl.HTTP().Get(a.ctl.URL().Base() + control.PathRelay)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusNotFound {
		t.Errorf("the relay's path answers %s", resp.Status)
	}
}

func TestRelayFlagsAreChecked(t *testing.T) {
	for _, flag := range []string{"--relay=maybe", "--relay-node-rate=fast", "--relay-org-rate=-1", "--relay-max-nodes=0", "--stun-listen=3478", "--stun-listen=127.0.0.1"} {
		if r := nexservice(t, "", "serve", "--db="+t.TempDir()+"/n.db", flag); r.code != program.ExitUsage {
			t.Errorf("%s: exit %d: %s", flag, r.code, r.err)
		}
	}
	for text, want := range map[string]float64{"500K": 5e5, "20m": 2e7, "1G": 1e9, "7": 7, "0": 0} {
		if r, err := parseRate("--x", text); err != nil || r.PerSecond != want {
			t.Errorf("%s: %+v, %v", text, r, err)
		}
	}
}
