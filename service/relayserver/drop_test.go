package relayserver_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"nexd/control"
	"nexd/internal/eventually"
	"nexd/mesh"
	"nexd/relay"
	"nexd/service/relayserver"
)

func TestADroppedNodeIsGoneAtOnce(t *testing.T) {
	w := newWorld(t)
	key := newKey(t)
	r := w.admitted("lab", key)
	b, twin := w.member("lab"), w.admitted("shop", key) // the same key in another organization stays
	w.srv.Drop("lab", key.Public())
	w.srv.Drop("lab", newKey(t).Public()) // nobody
	r.send(relay.AppendData(nil, b.key.Public(), data(1, 64)))
	b.none("from a node that was dropped")
	b.client.Send(key.Public(), data(2, 64))
	r.denied("dropped", relay.ByeDenied)
	twin.send(relay.AppendFrame(nil, relay.TypePing, []byte("12345678")))
	if ty, _ := twin.next(); ty != relay.TypePong {
		t.Errorf("the other organization's node got frame %d", ty)
	}
	eventually.Within(t, 30*time.Second, "the node is cut off", func() bool { st := w.srv.Stats(); return st.Cut == 1 && st.Nodes == 2 && st.Unknown >= 1 })
}

func TestADroppedNodesDatagramsAreOfNoSession(t *testing.T) {
	w := newWorld(t)
	at := w.withUDP()
	h := newHop(t, at) // of one node
	w.udp = h.in.LocalAddr().String()
	asked := make(chan struct{}, 100)
	a := w.member("lab", func(c *relay.Config) {
		token := c.Token
		c.Token = func(ctx context.Context) (relay.Token, error) {
			asked <- struct{}{}
			if len(asked) > 1 {
				return relay.Token{}, mesh.Errorf(mesh.Denied, "removed")
			}
			return token(ctx)
		}
	})
	w.udp = at
	b := w.member("lab")
	_, stop := pump(a, b)
	defer stop()
	w.viaUDP(b)
	w.srv.Drop("lab", a.key.Public())
	passed := w.srv.Stats().Packets
	a.wait(false)
	h.mu.Lock()
	sent := h.sent[len(h.sent)-20:]
	h.mu.Unlock()
	before := badDatagrams(w.srv.Stats())
	for _, d := range sent {
		h.outer().Write(d)
	}
	eventually.Within(t, 30*time.Second, "they are refused", func() bool { return badDatagrams(w.srv.Stats()) >= before+20 })
	if n := w.srv.Stats().Packets; n > passed+1 { // one was on its way through
		t.Errorf("%d packets passed after it was dropped", n-passed)
	}
}

func TestADroppedNodesTokensAreRefused(t *testing.T) {
	var ahead atomic.Int64 // seconds, of the relay's clock
	w := newWorld(t, func(c *relayserver.Config) {
		c.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load()) * time.Second) }
	})
	key := newKey(t)
	old := w.token("lab", key.Public(), control.RelayTokenLife).Text
	short := w.token("lab", key.Public(), time.Minute).Text
	ahead.Store(2)
	w.srv.Drop("lab", key.Public()) // it is not even here
	for _, token := range []string{old, short} {
		r := w.raw()
		r.auth(key, key.Public(), token)
		r.denied("a token from before", relay.ByeDenied)
	}
	w.admitted("shop", key) // another organization's
	fresh := w.token("lab", key.Public(), control.RelayTokenLife+4*time.Second).Text
	r := w.raw()
	r.auth(key, key.Public(), fresh) // it was registered again
	if ty, body := r.next(); ty != relay.TypeWelcome {
		t.Fatalf("frame %d %q instead of a welcome", ty, body)
	}
	denied := w.srv.Stats().DeniedToken
	r.send(relay.AppendFrame(nil, relay.TypeRenew, []byte(old)))
	eventually.Within(t, 30*time.Second, "the old token is refused", func() bool { return w.srv.Stats().DeniedToken == denied+1 })
}
