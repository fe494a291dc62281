package relayserver_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/coder/websocket"

	"nexd/mesh"
	"nexd/relay"
)

// raw is a client that can violate the protocol.
type raw struct {
	t    testing.TB
	conn *websocket.Conn
	key  mesh.Key // the relay's, of this connection
}

func (w *world) raw() *raw { w.t.Helper(); return w.rawVia(trusting(w.t)) }

func (w *world) rawVia(httpc *http.Client) *raw {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, w.http.URL+"/v1/relay", &websocket.DialOptions{HTTPClient: httpc, Subprotocols: []string{relay.Subprotocol}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { conn.CloseNow() })
	r := &raw{t: w.t, conn: conn}
	t, body := r.next()
	if t != relay.TypeChallenge || len(body) != mesh.KeySize {
		w.t.Fatalf("frame %d of %d bytes instead of a challenge", t, len(body))
	}
	r.key = mesh.Key(body)
	return r
}

// next returns the first frame of the next message, and type 0 if the connection has ended.
func (r *raw) next() (t relay.Type, body []byte) {
	stop := time.AfterFunc(10*time.Second, func() { r.conn.CloseNow() })
	defer stop.Stop()
	relay.ReadMessage(r.conn, func(msg []byte) (err error) {
		var b []byte
		t, b, _, err = relay.NextFrame(msg)
		body = append(body, b...)
		return err
	})
	return t, body
}

func (r *raw) send(msg []byte) {
	r.t.Helper()
	if err := r.conn.Write(context.Background(), websocket.MessageBinary, msg); err != nil {
		r.t.Logf("write: %v", err)
	}
}

// auth answers the challenge as node, with a token.
func (r *raw) auth(node mesh.PrivateKey, as mesh.Key, token string) {
	r.t.Helper()
	s, err := relay.NodeSecrets(node, r.key, token)
	if err != nil {
		r.t.Fatal(err)
	}
	r.send(relay.AppendAuth(nil, relay.Auth{Node: as, Proof: s.Proof, Token: token}))
}

// admitted returns a raw connection that was admitted.
func (w *world) admitted(org mesh.OrgID, node mesh.PrivateKey) *raw {
	w.t.Helper()
	r := w.raw()
	r.auth(node, node.Public(), w.token(org, node.Public(), time.Hour).Text)
	if t, body := r.next(); t != relay.TypeWelcome {
		w.t.Fatalf("frame %d %q instead of a welcome", t, body)
	}
	return r
}

// denied checks that the next frame is a goodbye with this reason, and hangs up.
func (r *raw) denied(name string, want relay.Reason) {
	r.t.Helper()
	t, body := r.next()
	if got, text := relay.ParseBye(body); t != relay.TypeBye || got != want {
		r.t.Errorf("%s: frame %d, %v %q; want %v", name, t, got, text, want)
	}
	r.conn.CloseNow()
}
