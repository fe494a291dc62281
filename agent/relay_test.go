package agent

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"nexd/agent/localapi"
	"nexd/e2e/meshtest"
	"nexd/internal/eventually"
	"nexd/internal/leak"
	"nexd/node"
	"nexd/service/stun"
)

// serveSTUN answers on a port of the loopback until the test ends.
func serveSTUN(t *testing.T) string {
	t.Helper()
	sock, err := stun.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- stun.New(stun.Config{}).On(sock).Serve(ctx, sock) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return sock.LocalAddr().String()
}

// until asks for status until it is as wanted.
func (r *running) until(what string, ok func(localapi.Status) bool) localapi.Status {
	r.t.Helper()
	var s localapi.Status
	var err error
	have := func() string { return fmt.Sprintf("%s; %v, relay %+v, outside %+v", what, err, s.Relay, s.Outside) }
	eventually.Shown(r.t, eventually.Patience, have, func() bool {
		s, err = r.client().Status(r.t.Context())
		return err == nil && ok(s)
	})
	return s
}

func TestANodeLearnsItsOutsideAddressAndHasARelay(t *testing.T) {
	leak.Check(t)
	s := meshtest.New(t)
	s.Relay, s.STUN = true, []string{serveSTUN(t), serveSTUN(t)}
	s.Start()
	a := run(t, joinConfig(t, s, "a"))
	st := a.until("a relay and STUN's answer", func(s localapi.Status) bool { return s.Relay != nil && s.Relay.Connected && s.Outside != nil })
	seen := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), st.Node.Port)
	if st.Outside.Depends || len(st.Outside.Addresses) != 1 || st.Outside.Addresses[0] != seen {
		t.Errorf("outside %+v, want %v", st.Outside, seen)
	}
	b := run(t, joinConfig(t, s, "b"))
	b.until("direct, although there is a relay", func(s localapi.Status) bool {
		_, _ = b.client().Ping(t.Context(), localapi.PingRequest{Target: "a", Timeout: time.Second})
		return len(s.Peers) == 1 && s.Peers[0].Path == "direct"
	})
	s.Stop()
	b.until("the relay's end is noticed", func(s localapi.Status) bool { return !s.Relay.Connected && s.Relay.Why != "" })
	if _, err := b.client().Ping(t.Context(), localapi.PingRequest{Target: "a", Timeout: 3 * time.Second}); err != nil {
		t.Errorf("direct peers notice that service and relay are gone: %v", err)
	}
}

func TestAServiceWithoutARelay(t *testing.T) {
	leak.Check(t)
	s := meshtest.New(t)
	s.Start()
	a := run(t, joinConfig(t, s, "a"))
	st := a.until("it is known", func(s localapi.Status) bool { return s.Relay != nil && s.Relay.Why == node.ErrNoRelay.Error() })
	if st.Relay.Connected || st.Outside != nil {
		t.Errorf("relay %+v, outside %+v", st.Relay, st.Outside)
	}
}
