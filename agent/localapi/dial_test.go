package localapi_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nexd/agent/localapi"
	"nexd/internal/leak"
	"nexd/mesh"
)

// dialing is a fake agent that dials real addresses, and the name "silent" never.
type dialing struct{ fake }

func (d *dialing) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	switch address {
	case "silent:1":
		<-ctx.Done()
		return nil, ctx.Err()
	case "nobody:1":
		return nil, mesh.Errorf(mesh.NotFound, "agent: no node %q", "nobody")
	}
	return new(net.Dialer).DialContext(ctx, network, address)
}

// twice answers what it read until EOF two times.
func twice(t *testing.T) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			b, _ := io.ReadAll(c)
			c.Write(append(b, b...))
			c.Close()
		}
	}()
	return ln.Addr().String()
}

func startDialing(t *testing.T) (*localapi.Client, func()) {
	leak.Check(t)
	ln, err := localapi.Listen(filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- localapi.Serve(ctx, ln, &dialing{}, slog.New(slog.DiscardHandler)) }()
	stop := func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve = %v", err)
		}
		done <- nil
	}
	t.Cleanup(stop)
	return localapi.NewClient(ln.Addr().String()), stop
}

func TestStreamKeepsHalfClose(t *testing.T) {
	c, _ := startDialing(t)
	s, err := c.Dial(t.Context(), twice(t))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	sent := strings.Repeat("x", 1<<20)
	go func() { io.WriteString(s, sent); s.CloseWrite() }()
	s.SetDeadline(time.Now().Add(10 * time.Second))
	if got, err := io.ReadAll(s); err != nil || string(got) != sent+sent {
		t.Errorf("%d bytes came back, %v", len(got), err)
	}
}

func TestStreamErrors(t *testing.T) {
	c, _ := startDialing(t)
	if _, err := c.Dial(t.Context(), "nobody:1"); mesh.KindOf(err) != mesh.NotFound || !strings.Contains(err.Error(), "nobody") {
		t.Errorf("unknown name: %v", err)
	}
	if _, err := c.Dial(t.Context(), "127.0.0.1:1"); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("refused: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.Dial(ctx, "silent:1"); err == nil || !strings.Contains(err.Error(), "in time") {
		t.Errorf("silent: %v", err)
	}
	if _, err := localapi.NewClient(t.TempDir()+"/none").Dial(t.Context(), "x:1"); mesh.KindOf(err) != mesh.Unavailable {
		t.Errorf("no agent: %v", err)
	}
}

func TestStreamsEndWithServe(t *testing.T) {
	c, stop := startDialing(t)
	s, err := c.Dial(t.Context(), twice(t))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	stop()
	s.SetDeadline(time.Now().Add(5 * time.Second))
	if n, err := s.Read(make([]byte, 1)); err == nil {
		t.Errorf("still open: %d bytes", n)
	}
}
