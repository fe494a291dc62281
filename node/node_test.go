package node_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"nexd/e2e/meshtest"
	"nexd/internal/leak"
	"nexd/mesh"
	"nexd/node"
)

// TestTwoNodesInOneProcess is what a program does that embeds a node: it serves HTTP on the
// mesh, knows its callers, and calls a container behind another node, without a state directory.
func TestTwoNodesInOneProcess(t *testing.T) {
	leak.Check(t)
	s := meshtest.New(t)
	s.Start()
	container := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "container") }))
	defer container.Close()
	router, _ := meshtest.Run(t, meshtest.Behind(t, s.Config("router"), "10.99.0.1", container.Listener.Addr()))
	web, _ := meshtest.Run(t, s.Config("web"))
	meshtest.WaitForPeer(t, web, "router")
	meshtest.WaitForPeer(t, router, "web")

	ln, err := web.Listen("tcp", ":80")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, err := web.WhoIs(netip.MustParseAddrPort(r.RemoteAddr).Addr())
		fmt.Fprint(w, "hello ", who.Name, err)
	})}
	go server.Serve(ln)
	defer server.Close()

	get := func(from *node.Node, url string) string {
		t.Helper()
		tr := &http.Transport{DialContext: from.DialContext, DisableKeepAlives: true}
		resp, err := (&http.Client{Transport: tr, Timeout: 20 * time.Second}).Get(url)
		if err != nil {
			t.Error(err)
			return ""
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Error(err)
		}
		return string(b)
	}
	_, port, _ := net.SplitHostPort(container.Listener.Addr().String())
	if got := get(web, "http://10.99.0.1:"+port); got != "container" {
		t.Errorf("the container says %q", got)
	}
	if got := get(router, "http://web"); got != "hello router<nil>" {
		t.Errorf("by name: %q", got)
	}
	for _, a := range web.View().Self.Addresses {
		if got := get(router, "http://"+net.JoinHostPort(a.String(), "80")); got != "hello router<nil>" {
			t.Errorf("by %v: %q", a, got)
		}
	}
	if got := get(web, "http://web"); got != "hello web<nil>" {
		t.Errorf("from itself: %q", got)
	}
	checkWhoIs(t, web, router)
	checkStatus(t, web)
	if p, err := web.Ping(t.Context(), "router", node.PingOptions{Timeout: 10 * time.Second}); err != nil || p.RTT <= 0 || !strings.HasPrefix(p.Path, "direct ") {
		t.Errorf("Ping = %+v, %v", p, err)
	}
}

func checkWhoIs(t *testing.T, web, router *node.Node) {
	t.Helper()
	self := router.View().Self
	for _, addr := range append(slices.Clone(self.Addresses), netip.MustParseAddr("10.99.0.1")) {
		who, err := web.WhoIs(addr)
		if err != nil || who.Name != "router" || who.ID != self.ID || who.Key != self.Key || len(who.Prefixes) != 1 {
			t.Errorf("WhoIs(%v) = %+v, %v", addr, who, err)
		}
	}
	if who, err := web.WhoIs(web.View().Self.Addresses[0]); err != nil || who.Name != "web" {
		t.Errorf("WhoIs of itself = %+v, %v", who, err)
	}
	for addr, kind := range map[string]mesh.Kind{"192.0.2.1": mesh.Denied, "100.127.255.1": mesh.NotFound} {
		if who, err := web.WhoIs(netip.MustParseAddr(addr)); mesh.KindOf(err) != kind {
			t.Errorf("WhoIs(%s) = %+v, %v", addr, who, err)
		}
	}
}

func checkStatus(t *testing.T, web *node.Node) {
	t.Helper()
	s := web.Status()
	if s.State != node.StateRunning || s.Mode != "userspace" || s.Self.Name != "web" || !s.Service.Connected || len(s.Peers) != 1 || s.Port == 0 {
		t.Errorf("status = %+v", s)
	}
	if p := s.Peers[0]; p.Name != "router" || p.Path != "direct" || p.RxBytes == 0 || !p.Endpoint.IsValid() {
		t.Errorf("peer = %+v", p)
	}
	if web.Received() == 0 {
		t.Error("no packet was received")
	}
}

// TestListenPacketTakesBothFamilies also sees that deadlines hold.
func TestListenPacketTakesBothFamilies(t *testing.T) {
	leak.Check(t)
	s := meshtest.New(t)
	s.Start()
	n, _ := meshtest.Run(t, s.Config("echo"))
	pc, err := n.ListenPacket("udp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	go func() {
		buf := make([]byte, 100)
		for {
			size, from, err := pc.ReadFrom(buf)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				pc.WriteTo(buf[:size], from)
			}
		}
	}()
	port := pc.LocalAddr().(*net.UDPAddr).Port
	for _, network := range []string{"udp4", "udp6"} {
		c, err := n.Dial(network, fmt.Sprintf("echo:%d", port))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(10 * time.Second))
		buf := make([]byte, 100)
		if _, err := c.Write([]byte(network)); err != nil {
			t.Error(err)
		}
		if size, err := c.Read(buf); err != nil || string(buf[:size]) != network {
			t.Errorf("%s: %q, %v", network, buf[:size], err)
		}
	}

	quiet, err := n.ListenPacket("udp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	quiet.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	for range 2 { // it stays passed
		if _, _, err := quiet.ReadFrom(nil); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a read after its deadline: %v", err)
		}
	}
	quiet.SetReadDeadline(time.Time{})
	woken := make(chan error)
	go func() { _, _, err := quiet.ReadFrom(nil); woken <- err }()
	quiet.SetReadDeadline(time.Now().Add(-time.Second))
	if err := <-woken; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a read that waits, with a deadline in the past: %v", err)
	}
	quiet.SetReadDeadline(time.Time{})
	go func() { _, _, err := quiet.ReadFrom(nil); woken <- err }()
	quiet.Close()
	if err := <-woken; !errors.Is(err, net.ErrClosed) {
		t.Errorf("a read when the socket is closed: %v", err)
	}
	if err := quiet.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed twice: %v", err)
	}
}

func TestListenErrors(t *testing.T) {
	leak.Check(t)
	s := meshtest.New(t)
	s.Start()
	n, _ := meshtest.Run(t, s.Config("n"))
	ln, err := n.Listen("tcp", ":80")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for _, tt := range []struct {
		network, address string
		errno            error
		kind             mesh.Kind
	}{
		{"tcp", ":80", syscall.EADDRINUSE, 0},
		{"tcp6", "n:80", syscall.EADDRINUSE, 0},
		{"tcp", "192.0.2.1:81", syscall.EADDRNOTAVAIL, 0},
		{"tcp", "x:81", nil, mesh.NotFound},
		{"udp", ":81", nil, mesh.Invalid},
		{"tcp", "81", nil, mesh.Invalid},
		{"tcp", ":x", nil, mesh.Invalid},
	} {
		l, err := n.Listen(tt.network, tt.address)
		if err == nil {
			l.Close()
		}
		if err == nil || tt.errno != nil && !errors.Is(err, tt.errno) || tt.errno == nil && mesh.KindOf(err) != tt.kind {
			t.Errorf("Listen(%s, %s) = %v", tt.network, tt.address, err)
		}
	}
	four, err := n.Listen("tcp4", "n:81")
	if err != nil {
		t.Fatal(err)
	}
	four.Close()
	if _, err := n.ListenPacket("tcp", ":80"); mesh.KindOf(err) != mesh.Invalid {
		t.Errorf("ListenPacket of tcp: %v", err)
	}
	accepted := make(chan error)
	go func() { _, err := ln.Accept(); accepted <- err }()
	ln.Close()
	if err := <-accepted; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept of a closed listener = %v", err)
	}
}

// TestBeforeAndAfterRun: what does not work says so, and nothing hangs.
func TestBeforeAndAfterRun(t *testing.T) {
	leak.Check(t)
	s := meshtest.New(t)
	s.Start()
	cfg := s.Config("n")
	n, err := node.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if st := n.Status(); st.State != node.StateJoining || !n.View().Empty() {
		t.Errorf("status before Run: %+v", st)
	}
	for what, call := range map[string]func() error{
		"Dial":         func() error { _, err := n.Dial("tcp", "other:80"); return err },
		"Dial literal": func() error { _, err := n.Dial("tcp", "100.64.0.1:80"); return err },
		"Listen":       func() error { _, err := n.Listen("tcp", ":80"); return err },
		"ListenPacket": func() error { _, err := n.ListenPacket("udp", ":80"); return err },
		"WhoIs":        func() error { _, err := n.WhoIs(netip.MustParseAddr("100.64.0.1")); return err },
		"Ping":         func() error { _, err := n.Ping(t.Context(), "other", node.PingOptions{}); return err },
	} {
		if err := call(); mesh.KindOf(err) != mesh.Unavailable {
			t.Errorf("%s before Run: %v", what, err)
		}
	}
	n.Close()
	n.Close()

	n, stop := meshtest.Run(t, cfg)
	ln, err := n.Listen("tcp", ":80")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	pc, err := n.ListenPacket("udp", ":80")
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	stop()
	if c, err := ln.Accept(); err == nil {
		c.Close()
		t.Error("a listener accepts after Run")
	}
	if _, _, err := pc.ReadFrom(make([]byte, 1)); err == nil {
		t.Error("a socket receives after Run")
	}
	if c, err := n.Dial("tcp", "n:80"); err == nil {
		c.Close()
		t.Error("dialed after Run")
	}
}

// TestErrorsNameNoFlag: a program that embeds a node has no command line of nexd.
func TestErrorsNameNoFlag(t *testing.T) {
	leak.Check(t)
	s := meshtest.New(t)
	s.Start()
	dir := t.TempDir()
	joined := s.Config("n")
	joined.StateDir = dir
	n, stop := meshtest.Run(t, joined)
	refused := func(name string, want error, cfg node.Config) {
		t.Helper()
		cfg.Mode = node.Userspace
		other, err := node.New(cfg)
		if err == nil {
			other.Close()
		}
		if err == nil || want != nil && !errors.Is(err, want) || strings.Contains(err.Error(), "--") {
			t.Errorf("%s: %v", name, err)
		}
	}
	refused("second node", node.ErrStateInUse, joined)
	refused("taken port", node.ErrPortTaken, node.Config{ServiceURL: s.URL(), RegKey: s.Key, ListenPort: n.Status().Port})
	stop()
	refused("no URL", node.ErrNoService, node.Config{})
	refused("no map", nil, node.Config{ServiceURL: "https://"})
	refused("no TLS", node.ErrNotEncrypted, node.Config{ServiceURL: "http://mesh.example"})
	refused("other service", node.ErrOtherService, node.Config{ServiceURL: "https://mesh.example", StateDir: dir})
	refused("other pin", node.ErrOtherPin, node.Config{ServiceURL: s.URL() + "/#pin=" + strings.Repeat("ab", 32), StateDir: dir})
	if _, err := os.Stat(filepath.Join(dir, "identity.json")); err != nil {
		t.Error(err)
	}
}
