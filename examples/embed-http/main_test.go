package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"nexd/e2e/meshtest"
	"nexd/internal/eventually"
	"nexd/internal/leak"
)

// TestPageOfAContainer runs the example beside a router node and a node that asks.
func TestPageOfAContainer(t *testing.T) {
	leak.Check(t)
	s := meshtest.New(t)
	s.Start()
	container := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "it works") }))
	defer container.Close()
	meshtest.Run(t, meshtest.Behind(t, s.Config("router"), "10.99.0.1", container.Listener.Addr()))
	laptop, _ := meshtest.Run(t, s.Config("laptop"))

	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	_, port, _ := net.SplitHostPort(container.Listener.Addr().String())
	go func() { done <- run(ctx, s.Config("web"), "http://10.99.0.1:"+port) }()
	meshtest.WaitForPeer(t, laptop, "web")

	client := &http.Client{Transport: &http.Transport{DialContext: laptop.DialContext, DisableKeepAlives: true}, Timeout: 10 * time.Second}
	var body string
	eventually.True(t, "the example serves", func() bool {
		resp, err := client.Get("http://web/")
		if err != nil {
			return false // it does not listen yet
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		body = string(b)
		return err == nil
	})
	if want := "hello laptop, the container says: it works"; body != want {
		t.Errorf("the page says %q, want %q", body, want)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
