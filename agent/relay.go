package agent

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"nexd/control"
	"nexd/internal/hostport"
	"nexd/mesh"
	"nexd/relay"
	"nexd/tunnel/underlay"
)

// noRelayWait is how long a node of a service without a relay waits before it asks
// again.
const noRelayWait = 5 * time.Minute

// ErrNoRelay is why a node of a service without a relay has none; its text is in
// the node's status.
var ErrNoRelay = errors.New("the service has no relay")

// relayLink is the node's connection to its relay. It is made before the data
// path, which sends through it, and gets its client afterwards.
type relayLink struct {
	service *control.Client
	client  *relay.Client
	bind    *underlay.Bind
	log     *slog.Logger
	joined  chan struct{} // closed when the service knows this node
	none    atomic.Bool   // the service has no relay
}

// newRelayLink is nil with a static map.
func newRelayLink(m *member, log *slog.Logger) *relayLink {
	if m == nil {
		return nil
	}
	return &relayLink{service: m.client, log: log, joined: make(chan struct{})}
}

// attach gives the link the data path's end.
func (r *relayLink) attach(bind *underlay.Bind, key mesh.PrivateKey) (err error) {
	r.bind = bind
	r.client, err = relay.New(relay.Config{
		Token: r.token, Key: key, Receive: bind.FromRelay, HTTP: r.service.HTTP(), Changed: bind.RelayUp, Logger: r.log.With("room", "relay"),
	})
	return err
}

// Send implements underlay.Relay.
func (r *relayLink) Send(to mesh.Key, packets ...[]byte) error { return r.client.Send(to, packets...) }

// run keeps the connection, from the first registration on.
func (r *relayLink) run(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-r.joined:
	}
	return r.client.Run(ctx)
}

// state is why there is no relay, nil if there is one, and the way to it and back.
func (r *relayLink) state() (time.Duration, error) {
	ok, why, rtt := r.client.Connected()
	switch {
	case ok:
		return rtt, nil
	case r.none.Load():
		return 0, ErrNoRelay
	}
	return 0, errors.New(why)
}

// carrier is what data goes by now.
func (r *relayLink) carrier() string {
	if r.client.Datagrams() {
		return "udp"
	}
	return "websocket"
}

// token asks the service for admission; where STUN is comes with it. A service
// without a relay is asked again after a while only.
func (r *relayLink) token(ctx context.Context) (relay.Token, error) {
	t, err := r.service.RelayToken(ctx)
	switch {
	case err != nil && mesh.KindOf(err) != mesh.NotFound: // an old service does not know the call
		return relay.Token{}, err
	case err == nil:
		r.bind.SetSTUN(resolve(ctx, t.STUN, r.log))
	}
	r.none.Store(err != nil || len(t.URLs) == 0)
	if r.none.Load() {
		select {
		case <-ctx.Done():
		case <-time.After(noRelayWait):
		}
		return relay.Token{}, ErrNoRelay
	}
	out := relay.Token{Text: t.Token, Expires: t.Expires, URL: t.URLs[0]}
	if len(t.UDP) > 0 {
		out.UDP = t.UDP[0]
	}
	return out, nil
}

// resolve finds the addresses of HOST:PORT, both families.
func resolve(ctx context.Context, places []string, log *slog.Logger) (out []netip.AddrPort) {
	for _, place := range places {
		addrs, err := hostport.Resolve(ctx, hostport.System, place)
		if err != nil {
			log.Debug("STUN server not found", "addr", place, "err", err)
		}
		out = append(out, addrs...)
	}
	return out
}
