package relayserver

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/coder/websocket"

	"nexd/control"
	"nexd/mesh"
	"nexd/relay"
)

const byeStopping = relay.ByeStopping

// refusal is the reason why a connection is not admitted.
type refusal struct {
	reason relay.Reason
	err    error
}

func (r *refusal) Error() string { return r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

func accept(w http.ResponseWriter, r *http.Request) (*websocket.Conn, error) {
	conn, err := websocket.Accept(relay.Framing(w), r, &websocket.AcceptOptions{Subprotocols: []string{relay.Subprotocol}})
	if err != nil {
		return nil, err
	}
	if conn.Subprotocol() == "" {
		conn.Close(websocket.StatusPolicyViolation, "this relay speaks "+relay.Subprotocol)
		return nil, mesh.Errorf(mesh.Invalid, "relayserver: client of another version")
	}
	conn.SetReadLimit(relay.MaxMessage)
	return conn, nil
}

// admit checks token and proof, and adds the connection to its room as a node. It replaces an older
// connection of the same key.
func (s *Server) admit(conn *websocket.Conn) (*node, error) {
	late := time.AfterFunc(s.cfg.AuthTime, func() { conn.CloseNow() })
	defer late.Stop()
	own, err := mesh.NewPrivateKey()
	if err != nil {
		return nil, err
	}
	pub := own.Public()
	if err := write(conn, relay.AppendFrame(nil, relay.TypeChallenge, pub[:])); err != nil {
		return nil, err
	}
	auth, err := readAuth(conn)
	if err != nil {
		return nil, &refusal{relay.ByeProtocol, err}
	}
	claims, shared, err := s.check(own, auth)
	if err != nil {
		return nil, err
	}
	n := newNode(s, conn, auth.Node, s.rooms.newID(), claims.Expires, shared)
	if !late.Stop() {
		return nil, &refusal{relay.ByeProtocol, mesh.Errorf(mesh.Invalid, "relayserver: proof came too late")}
	}
	if err := s.welcome(claims.Org, n); err != nil {
		return nil, err
	}
	s.log.Debug("relay: node connected", "node", n.key.Short(), "organization", claims.Org)
	return n, nil
}

// welcome adds n to its room and then tells it. In this order, because other nodes may send to n as
// soon as it is told.
func (s *Server) welcome(org mesh.OrgID, n *node) error {
	before, ok := s.rooms.join(org, n)
	if !ok {
		s.count.deniedToken.Add(1)
		return &refusal{relay.ByeDenied, errRemoved}
	}
	s.count.admitted.Add(1)
	if before != nil {
		s.count.replaced.Add(1)
		before.goodbye(relay.ByeReplaced, "another connection of this node took over")
	}
	err := write(n.conn, relay.AppendFrame(nil, relay.TypeWelcome, n.id[:]))
	if err != nil {
		n.queue.Close() // other nodes may have sent to n already
		s.rooms.leave(n)
	}
	return err
}

func readAuth(conn *websocket.Conn) (auth relay.Auth, err error) {
	err = relay.ReadMessage(conn, func(msg []byte) error {
		t, body, rest, err := relay.NextFrame(msg)
		if err == nil && (t != relay.TypeAuth || len(rest) > 0) {
			err = mesh.Errorf(mesh.Invalid, "relayserver: frame of type %d instead of a proof", t)
		}
		if err == nil {
			auth, err = relay.ParseAuth(body)
		}
		return err
	})
	return auth, err
}

// check authenticates a node: the token must be signed by this service for the node's key, and the
// proof must show the private key.
func (s *Server) check(own mesh.PrivateKey, auth relay.Auth) (control.RelayClaims, relay.Shared, error) {
	claims, err := s.claims(auth.Token, auth.Node)
	if err != nil {
		return claims, relay.Shared{}, &refusal{relay.ByeDenied, err}
	}
	shared, err := relay.RelaySecrets(own, auth.Node, auth.Token)
	if err == nil && !shared.Proof.Equal(auth.Proof) {
		err = control.Errorf(mesh.Denied, control.ReasonProof, "relayserver: the proof does not show the key of the token")
	}
	if err != nil {
		s.count.deniedProof.Add(1)
		return claims, relay.Shared{}, &refusal{relay.ByeDenied, err}
	}
	return claims, shared, nil
}

var errRemoved = control.Errorf(mesh.Denied, control.ReasonRelayToken, "relayserver: the token is from before the node was removed from its organization; take another one")

// claims verifies the token of a node. The token must not be older than the removal of the node.
func (s *Server) claims(token string, node mesh.Key) (control.RelayClaims, error) {
	claims, err := control.VerifyRelayToken(s.cfg.TokenKey, token, s.cfg.Now())
	if err == nil && claims.Node != node {
		err = control.Errorf(mesh.Denied, control.ReasonRelayToken, "relayserver: the token is another node's")
	}
	if err == nil && s.rooms.removed(claims.Org, node, claims.Expires) {
		err = errRemoved
	}
	if err != nil {
		s.count.deniedToken.Add(1)
	}
	return claims, err
}

// refuse sends the reason to a connection that is not admitted, and ends it.
func (s *Server) refuse(conn *websocket.Conn, err error) {
	s.log.Debug("relay: connection refused", "err", err)
	var r *refusal
	if !errors.As(err, &r) {
		return
	}
	if r.reason == relay.ByeProtocol {
		s.count.deniedProtocol.Add(1)
	}
	text := ""
	if mesh.KindOf(r.err) != mesh.Internal {
		text = r.err.Error()
	}
	if write(conn, relay.AppendBye(nil, r.reason, text)) != nil {
		return
	}
	late := time.AfterFunc(time.Second, func() { conn.CloseNow() })
	defer late.Stop()
	for relay.ReadMessage(conn, func([]byte) error { return nil }) == nil { // until the other side has read the reason and hangs up
	}
}

func write(conn *websocket.Conn, msg []byte) error {
	if err := conn.Write(context.Background(), websocket.MessageBinary, msg); err != nil {
		return mesh.Errorf(mesh.Unavailable, "relayserver: the connection broke: %w", err)
	}
	return nil
}
