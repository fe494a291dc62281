package datapath

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
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

// ErrNoRelay is why a node of a service without a relay has no relay. Its text is in the
// node's status.
var ErrNoRelay = errors.New("the service has no relay")

// Service admits this node to a relay and says where relay and STUN servers are;
// control.Client is one.
type Service interface {
	RelayToken(context.Context) (control.RelayToken, error)
	HTTP() *http.Client
}

// relayLink is the node's connection to its relay.
type relayLink struct {
	client  *relay.Client
	service Service
	bind    func() *underlay.Bind
	log     *slog.Logger
	none    atomic.Bool // the service has no relay
}

// newRelayLink makes the client. bind is called only while the client runs.
func newRelayLink(cfg Config, bind func() *underlay.Bind) (_ *relayLink, err error) {
	r := &relayLink{service: cfg.Service, bind: bind, log: cfg.Logger}
	r.client, err = relay.New(relay.Config{
		Token: r.token, Key: cfg.Key, HTTP: cfg.Service.HTTP(), Logger: cfg.Logger.With("room", "relay"),
		Receive: func(from mesh.Key, packets ...[]byte) { bind().FromRelay(from, packets...) },
		Changed: func(connected bool) { bind().RelayUp(connected) },
	})
	return r, err
}

func (r *relayLink) status() RelayStatus {
	ok, why, rtt := r.client.Connected()
	switch {
	case ok:
		return RelayStatus{URL: r.client.URL(), RTT: rtt, Datagrams: r.client.Datagrams(), UDP: r.client.Stats().Datagrams > 0}
	case r.none.Load():
		return RelayStatus{Err: ErrNoRelay}
	}
	return RelayStatus{URL: r.client.URL(), Err: errors.New(why)}
}

// token asks the service for a relay token and for its STUN servers. If the service has no relay,
// token waits a while before it returns.
func (r *relayLink) token(ctx context.Context) (relay.Token, error) {
	t, err := r.service.RelayToken(ctx)
	switch {
	case err != nil && mesh.KindOf(err) != mesh.NotFound: // an old service does not know the call
		return relay.Token{}, err
	case err == nil:
		r.bind().SetSTUN(resolve(ctx, t.STUN, r.log))
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
