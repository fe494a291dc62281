package localapi_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"nexd/agent/localapi"
	"nexd/internal/leak"
	"nexd/mesh"
)

type fake struct {
	forwards []localapi.Forward
	down     chan struct{}
}

func (f *fake) Status(context.Context) localapi.Status {
	return localapi.Status{Schema: localapi.Schema, State: "running", Node: localapi.Node{Name: "ada"}}
}

func (f *fake) Ping(ctx context.Context, req localapi.PingRequest) (localapi.PingReply, error) {
	if req.Target != "node1" {
		return localapi.PingReply{}, mesh.Errorf(mesh.NotFound, "agent: no node %q", req.Target)
	}
	return localapi.PingReply{Address: netip.MustParseAddr("100.64.0.1"), RTT: time.Millisecond, Path: "direct"}, nil
}

func (f *fake) Forwards() []localapi.Forward { return f.forwards }

func (f *fake) AddForward(_ context.Context, spec string) (localapi.Forward, error) {
	f.forwards = append(f.forwards, localapi.Forward{Spec: spec})
	return f.forwards[len(f.forwards)-1], nil
}

func (f *fake) RemoveForward(_ context.Context, spec string) error {
	if len(f.forwards) == 0 || f.forwards[0].Spec != spec {
		return mesh.Errorf(mesh.NotFound, "forward: no rule %q", spec)
	}
	f.forwards = nil
	return nil
}

func (f *fake) Down() { close(f.down) }

// start serves a fake agent and returns a client of it.
func start(t *testing.T) (*localapi.Client, *fake, string) {
	t.Helper()
	leak.Check(t)
	path := filepath.Join(t.TempDir(), "nexd.sock")
	ln, err := localapi.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{down: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- localapi.Serve(ctx, ln, f, slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve = %v", err)
		}
		if _, err := os.Lstat(path); err == nil {
			t.Error("the socket file outlived Serve")
		}
	})
	return localapi.NewClient(path), f, path
}

func TestEveryCall(t *testing.T) {
	c, f, _ := start(t)
	ctx := context.Background()
	if s, err := c.Status(ctx); err != nil || s.Node.Name != "ada" || s.Schema != 1 {
		t.Errorf("Status = %+v, %v", s, err)
	}
	if r, err := c.Ping(ctx, localapi.PingRequest{Target: "node1"}); err != nil || r.RTT != time.Millisecond {
		t.Errorf("Ping = %+v, %v", r, err)
	}
	if _, err := c.Ping(ctx, localapi.PingRequest{Target: "x"}); mesh.KindOf(err) != mesh.NotFound || !strings.Contains(err.Error(), `"x"`) {
		t.Errorf("Ping of nobody = %v, want NotFound naming it", err)
	}
	if _, err := c.AddForward(ctx, "-L 1:a:2"); err != nil {
		t.Error(err)
	}
	if fs, err := c.Forwards(ctx); err != nil || len(fs) != 1 || fs[0].Spec != "-L 1:a:2" {
		t.Errorf("Forwards = %v, %v", fs, err)
	}
	if err := c.RemoveForward(ctx, "-L 9:a:2"); mesh.KindOf(err) != mesh.NotFound {
		t.Errorf("RemoveForward of none = %v", err)
	}
	if err := c.RemoveForward(ctx, "-L 1:a:2"); err != nil {
		t.Error(err)
	}
	if err := c.Down(ctx); err != nil {
		t.Error(err)
	}
	<-f.down
}

func TestNobodyThereIsUnavailable(t *testing.T) {
	c := localapi.NewClient(filepath.Join(t.TempDir(), "none.sock"))
	if _, err := c.Status(context.Background()); mesh.KindOf(err) != mesh.Unavailable {
		t.Errorf("Status without an agent = %v, want Unavailable", err)
	}
}

func TestSocketIsPrivateAndExclusive(t *testing.T) {
	_, _, path := start(t)
	if runtime.GOOS != "windows" {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("socket mode = %v, %v", info.Mode(), err)
		}
	}
	if _, err := localapi.Listen(path); mesh.KindOf(err) != mesh.Conflict {
		t.Errorf("second Listen = %v, want Conflict", err)
	}
}

func TestStaleSocketIsReplacedAndAFileIsNot(t *testing.T) {
	dir := t.TempDir()
	stale := filepath.Join(dir, "stale")
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale})
	if err != nil {
		t.Fatal(err)
	}
	ln.SetUnlinkOnClose(false)
	ln.Close()
	again, err := localapi.Listen(stale)
	if err != nil {
		t.Fatalf("over a stale socket: %v", err)
	}
	again.Close()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := localapi.Listen(file); mesh.KindOf(err) != mesh.Conflict {
		t.Errorf("over a file: %v, want Conflict", err)
	}
	if _, err := localapi.Listen(filepath.Join(dir, strings.Repeat("x", 120))); err == nil || !strings.Contains(err.Error(), "--socket") {
		t.Errorf("too long a path: %v, want a hint at --socket", err)
	}
}

func TestBadBodies(t *testing.T) {
	_, _, path := start(t)
	tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}
	defer tr.CloseIdleConnections()
	for _, body := range []string{"", "{", `{"nope":1}`, strings.Repeat("[", 1<<17)} {
		resp, err := (&http.Client{Transport: tr}).Post("http://nexd/v1/ping", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusBadRequest {
			t.Errorf("body of %d bytes: status %d", len(body), resp.StatusCode)
		}
	}
}

func TestAnswerDoesNotComeWithinTheDeadline(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deaf.sock")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close() // accepts nobody
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	_, err = localapi.NewClient(path).Status(ctx)
	if mesh.KindOf(err) != mesh.Unavailable || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a deaf agent: %v", err)
	}
}
