package relay

import (
	"context"
	"log/slog"
	"net"
	"runtime"
	"testing"
	"time"
)

// A carrier whose context has ended must end its receiver, or the node would not stop. The race is
// lost once in some hundred rounds.
func TestUDPCarrierEndsWithItsContext(t *testing.T) {
	there, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer there.Close()
	s := &session{c: &Client{log: slog.New(slog.DiscardHandler)}, token: Token{UDP: there.LocalAddr().String()}}
	for i := range 2000 {
		ctx, cancel := context.WithCancel(t.Context())
		u := newUDPCarrier(ctx, s)
		if u == nil {
			t.Fatal("no carrier")
		}
		ended := make(chan struct{})
		go func() { defer close(ended); u.run(ctx) }()
		if i%2 == 0 {
			for range 100 { // in half of the rounds run has begun when the context ends
				runtime.Gosched()
			}
		}
		cancel()
		select {
		case <-ended:
		case <-time.After(5 * time.Second):
			u.conn.Close()
			t.Fatalf("round %d: the carrier did not end", i)
		}
	}
}
