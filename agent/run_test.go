package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nexd/agent/localapi"
	"nexd/forward/router"
	"nexd/internal/leak"
	"nexd/internal/testmap"
	"nexd/mesh"
	"nexd/node"
	"nexd/node/state"
)

// running is an agent started by a test.
type running struct {
	t      *testing.T
	cfg    Config
	ready  Ready
	cancel context.CancelFunc
	done   chan error
}

// run starts an agent and waits until it is ready.
func run(t *testing.T, cfg Config) *running {
	t.Helper()
	r := &running{t: t, cfg: cfg, done: make(chan error, 1)}
	ready := make(chan Ready, 1)
	cfg.Ready = func(x Ready) { ready <- x }
	cfg.Mode = node.Userspace
	cfg.Socket = filepath.Join(cfg.StateDir, "s")
	var ctx context.Context
	ctx, r.cancel = context.WithCancel(context.Background())
	go func() { r.done <- Run(ctx, cfg) }()
	select {
	case r.ready = <-ready:
	case err := <-r.done:
		t.Fatalf("agent ended before it was ready: %v", err)
	case <-time.After(20 * time.Second):
		t.Fatal("agent is not ready after 20 s")
	}
	t.Cleanup(r.stop)
	return r
}

// stop ends the agent; some 10 ms, but on a busy machine.
func (r *running) stop() {
	if r.cancel == nil {
		return
	}
	start := time.Now()
	r.cancel()
	r.cancel = nil
	if err := <-r.done; err != nil {
		r.t.Errorf("Run = %v", err)
	}
	if took := time.Since(start); took > 5*time.Second {
		r.t.Errorf("the agent took %v to end", took)
	}
}

func (r *running) client() *localapi.Client {
	return localapi.NewClient(filepath.Join(r.cfg.StateDir, "s"))
}

// get fetches through the agent's proxy.
func (r *running) get(target string) (string, error) {
	proxy := &url.URL{Scheme: "socks5h", Host: r.ready.Proxies[0]}
	tr := &http.Transport{Proxy: http.ProxyURL(proxy), DisableKeepAlives: true}
	return fetch(&http.Client{Transport: tr, Timeout: 10 * time.Second}, target)
}

func fetch(c *http.Client, target string) (string, error) {
	resp, err := c.Get(target)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}

// shortDir is a state directory whose socket path is short enough anywhere.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "nx")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// staticPair writes maps for a router and a laptop on this host.
func staticPair(t *testing.T, routerDir, laptopDir string, routerPort uint16) (routerMap, laptopMap string) {
	t.Helper()
	key := func(dir string) mesh.Key {
		k, err := state.PublicKey(dir)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	r := mesh.Node{Name: "node1", Key: key(routerDir), Addresses: testmap.Addrs("100.64.0.1", "fd00:1::1")}
	l := mesh.Node{Name: "laptop", Key: key(laptopDir), Addresses: testmap.Addrs("100.64.0.2", "fd00:1::2")}
	write := func(name string, m mesh.NetworkMap) string {
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(laptopDir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	routerMap = write("router.json", mesh.NetworkMap{Self: r, Peers: []mesh.Node{l}})
	r.Prefixes = testmap.Prefixes("10.99.0.1/32", "10.98.0.0/24")
	r.Endpoints = []netip.AddrPort{netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), routerPort)}
	return routerMap, write("laptop.json", mesh.NetworkMap{Self: l, Peers: []mesh.Node{r}})
}

func freeUDPPort(t *testing.T) uint16 {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	return uint16(pc.LocalAddr().(*net.UDPAddr).Port)
}

// TestTwoNodesInOneProcess is the main job without namespaces: a page from behind
// a router through the laptop's proxy and forward, ping, status, and an end that
// leaves nothing.
func TestTwoNodesInOneProcess(t *testing.T) {
	leak.Check(t)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "hello from behind the router")
	}))
	defer web.Close()
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	_, webPort, _ := net.SplitHostPort(web.Listener.Addr().String())
	allow, err := router.ParseAllow("127.0.0.1:" + webPort)
	if err != nil {
		t.Fatal(err)
	}
	rd, ld, port := shortDir(t), shortDir(t), freeUDPPort(t)
	routerMap, laptopMap := staticPair(t, rd, ld, port)
	run(t, Config{
		Config: node.Config{
			StateDir: rd, MapFile: routerMap, ListenPort: port,
			Advertise: testmap.Advertise(t, "10.99.0.1/32=127.0.0.1/32", "10.98.0.0/24=192.0.2.0/24"), AllowLocal: []router.Allow{allow},
		},
		ProxyListen: []string{"off"},
		Forwards:    []string{"-R 8080:127.0.0.1:" + webPort},
	})
	laptop := run(t, Config{
		Config:      node.Config{StateDir: ld, MapFile: laptopMap},
		ProxyListen: []string{"127.0.0.1:0"},
		Forwards:    []string{"-L 0:10.99.0.1:" + webPort},
	})
	if laptop.ready.Name != "laptop" || len(laptop.ready.Addresses) != 2 || len(laptop.ready.Proxies) != 1 {
		t.Fatalf("ready = %+v", laptop.ready)
	}
	for _, target := range []string{"http://10.99.0.1:" + webPort, "http://node1:8080", "http://100.64.0.1:8080", "http://[fd00:1::1]:8080"} {
		if body, err := laptop.get(target); err != nil || !strings.Contains(body, "hello") {
			t.Errorf("get %s = %q, %v", target, body, err)
		}
	}
	if _, err := laptop.get("http://10.99.0.1:1"); err == nil {
		t.Error("a loopback port that is not allowed was reached")
	}
	checkLocalCommands(t, laptop)
}

// checkLocalCommands asks the laptop of TestTwoNodesInOneProcess.
func checkLocalCommands(t *testing.T, laptop *running) {
	t.Helper()
	ctx := t.Context()
	c := laptop.client()
	s, err := c.Status(ctx)
	if err != nil || s.State != "running" || len(s.Peers) != 1 || s.Peers[0].Path != "direct" || s.Peers[0].RxBytes == 0 {
		t.Errorf("status = %+v, %v", s, err)
	}
	fs, err := c.Forwards(ctx)
	if err != nil || len(fs) != 1 {
		t.Fatalf("forwards = %+v, %v", fs, err)
	}
	direct := &http.Transport{DisableKeepAlives: true}
	if body, err := fetch(&http.Client{Transport: direct, Timeout: 10 * time.Second}, "http://"+fs[0].Listen); err != nil || !strings.Contains(body, "hello") {
		t.Errorf("through -L %s: %q, %v", fs[0].Listen, body, err)
	}
	for target, want := range map[string]bool{"node1": true, "100.64.0.1": true, "fd00:1::1": true, "laptop": true, "nobody": false, "198.51.100.1": false, "100.64.0.77": false} {
		r, err := c.Ping(ctx, localapi.PingRequest{Target: target, Size: 56, Timeout: 2 * time.Second})
		if (err == nil) != want {
			t.Errorf("ping %s = %+v, %v; want an answer %v", target, r, err, want)
		}
	}
	if err := c.RemoveForward(ctx, "-L 9:x:9"); mesh.KindOf(err) != mesh.NotFound {
		t.Errorf("remove of no rule = %v", err)
	}
	if err := c.Down(ctx); err != nil {
		t.Error(err)
	}
	select {
	case err := <-laptop.done:
		laptop.done <- err
		if err != nil {
			t.Errorf("after down: %v", err)
		}
	case <-time.After(2 * time.Second):
		t.Error("down did not end the agent within 2 s")
	}
}

// TestWhatIsRefusedBeforeTheServiceHearsOfIt starts agents that must not come up.
func TestWhatIsRefusedBeforeTheServiceHearsOfIt(t *testing.T) {
	leak.Check(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	const url = "https://mesh.example:8443/#pin=" // completed below
	pin := strings.Repeat("ab", 32)
	for _, tt := range []struct {
		name string
		cfg  Config
		want string
	}{
		{"no URL", Config{}, "no service URL"},
		{"TUN", Config{Config: node.Config{ServiceURL: url + pin, Mode: node.TUN, AllowLocal: []router.Allow{{}}}}, "TUN mode"},
		{"proxy port taken", Config{Config: node.Config{ServiceURL: url + pin}, ProxyListen: []string{taken.Addr().String()}}, "--proxy-listen"},
		{"bad URL", Config{Config: node.Config{ServiceURL: "https://"}}, "has no host"},
		{"bad key", Config{Config: node.Config{ServiceURL: url + pin, RegKey: "hello"}}, "registration key"},
		{"plain HTTP", Config{Config: node.Config{ServiceURL: "http://mesh.example"}}, "--insecure-http"},
		{"no map", Config{Config: node.Config{MapFile: "/nonexistent/map.json"}, ProxyListen: []string{"off"}}, "/nonexistent/map.json"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.cfg.StateDir = shortDir(t)
			if tt.cfg.Mode != node.TUN {
				tt.cfg.Mode = node.Userspace
			}
			tt.cfg.Socket = filepath.Join(tt.cfg.StateDir, "s")
			err := Run(t.Context(), tt.cfg)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Run = %v, want an error with %q", err, tt.want)
			}
			if _, err := os.Lstat(tt.cfg.Socket); err == nil {
				t.Error("the socket file stays behind")
			}
		})
	}
}
