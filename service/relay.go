package service

import (
	"context"
	"net/http"
	"time"

	"nexd/control"
	"nexd/mesh"
)

// Relay is what a Service tells its nodes about relay and STUN. The zero value is a
// service without either.
type Relay struct {
	Handler http.Handler // answers at control.PathRelay; nil = no relay here
	UDP     []string     // HOST:PORT at which the relay takes datagrams; :PORT = at the service's own host
	STUN    []string     // HOST:PORT of STUN servers; the same
}

// relayToken admits a node to the relay.
func (s *Service) relayToken(ctx context.Context, in *bare) (*body[control.RelayToken], error) {
	sess, err := s.session(ctx, in.Authorization)
	if err != nil {
		return nil, err
	}
	answer := control.RelayToken{URLs: []string{}, UDP: []string{}, STUN: append([]string{}, s.relay.STUN...)}
	if s.relay.Handler == nil {
		return &body[control.RelayToken]{answer}, nil
	}
	d, err := s.store.Node(ctx, sess.Org, string(sess.Node))
	if mesh.KindOf(err) == mesh.NotFound { // removed a moment ago
		return nil, control.Errorf(mesh.Denied, control.ReasonGone, "service: this node is no longer known here")
	}
	if err != nil {
		return nil, err
	}
	answer.Expires = s.now().Add(control.RelayTokenLife).UTC().Truncate(time.Second)
	answer.Token = control.SignRelayToken(s.relayKey, control.RelayClaims{Org: sess.Org, Node: d.Key, Expires: answer.Expires})
	answer.URLs, answer.UDP = append(answer.URLs, control.PathRelay), append(answer.UDP, s.relay.UDP...)
	return &body[control.RelayToken]{answer}, nil
}
