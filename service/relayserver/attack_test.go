package relayserver_test

import (
	"bytes"
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/coder/websocket"

	"nexd/control"
	"nexd/internal/bucket"
	"nexd/internal/eventually"
	"nexd/mesh"
	"nexd/relay"
	"nexd/service/relayserver"
)

func TestNobodyGetsInWithoutTokenAndProof(t *testing.T) {
	w := newWorld(t)
	victim := w.member("lab")
	me, other := newKey(t), newKey(t)
	foreign, _ := control.RelayKey(bytes.Repeat([]byte{9}, 32))
	mine := w.token("lab", me.Public(), time.Hour).Text
	his := w.token("lab", victim.key.Public(), time.Hour).Text
	for name, do := range map[string]func(r *raw){
		"no token": func(r *raw) { r.auth(me, me.Public(), "x") },
		"token of another service": func(r *raw) {
			r.auth(me, me.Public(), control.SignRelayToken(foreign, control.RelayClaims{Org: "lab", Node: me.Public(), Expires: time.Now().Add(time.Hour)}))
		},
		"expired token":                     func(r *raw) { r.auth(me, me.Public(), w.token("lab", me.Public(), -time.Second).Text) },
		"token of another node":             func(r *raw) { r.auth(me, me.Public(), his) },
		"another's key and token, my proof": func(r *raw) { r.auth(me, victim.key.Public(), his) },
		"another's key, my token":           func(r *raw) { r.auth(me, victim.key.Public(), mine) },
		"proof of another key":              func(r *raw) { r.auth(other, me.Public(), mine) },
		"low-order key": func(r *raw) {
			r.send(relay.AppendAuth(nil, relay.Auth{Node: mesh.Key{1}, Token: w.token("lab", mesh.Key{1}, time.Hour).Text}))
		},
	} {
		r := w.raw()
		do(r)
		r.denied(name, relay.ByeDenied)
	}
	if ok, why, _ := victim.client.Connected(); !ok {
		t.Errorf("the victim was evicted: %s", why)
	}
	if st := w.srv.Stats(); st.Admitted != 1 || st.Replaced != 0 || st.DeniedToken != 5 || st.DeniedProof != 3 {
		t.Errorf("stats %+v", st)
	}
}

func TestRecordedHandshakeIsOfNoUse(t *testing.T) {
	w := newWorld(t)
	me := newKey(t)
	tok := w.token("lab", me.Public(), time.Hour).Text
	first := w.raw()
	s, err := relay.NodeSecrets(me, first.key, tok)
	if err != nil {
		t.Fatal(err)
	}
	auth := relay.AppendAuth(nil, relay.Auth{Node: me.Public(), Proof: s.Proof, Token: tok})
	first.send(auth)
	if ty, _ := first.next(); ty != relay.TypeWelcome {
		t.Fatalf("frame %d", ty)
	}
	again := w.raw()
	again.send(auth)
	again.denied("replayed", relay.ByeDenied)
	first.send(relay.AppendFrame(nil, relay.TypePing, []byte("12345678")))
	if ty, _ := first.next(); ty != relay.TypePong {
		t.Error("the first connection suffered")
	}
}

func TestWhatIsNoProtocolEndsTheConnection(t *testing.T) {
	w := newWorld(t)
	for name, msg := range map[string][]byte{
		"data before the proof": relay.AppendData(nil, mesh.Key{1}, data(1, 64)),
		"another version":       {2, 2, 0, 0},
		"cut":                   {1, 2, 0, 200},
		"nothing":               {},
		"oversized auth":        relay.AppendFrame(nil, relay.TypeAuth, make([]byte, 4000)),
	} {
		r := w.raw()
		r.send(msg)
		r.denied(name, relay.ByeProtocol)
	}
	for name, msg := range map[string][]byte{
		"oversized frame":   relay.AppendFrame(nil, relay.TypeData, make([]byte, relay.MaxFrame)),
		"cut frame":         {1, 4, 1, 0, 0},
		"another version":   {7, 4, 0, 0},
		"oversized message": make([]byte, relay.MaxMessage+1),
	} {
		r := w.admitted("lab", newKey(t))
		r.send(msg)
		if ty, _ := r.next(); ty != 0 {
			t.Errorf("%s: frame %d", name, ty)
		}
	}
	r := w.admitted("lab", newKey(t))
	r.conn.Write(context.Background(), websocket.MessageText, []byte("hello"))
	if ty, _ := r.next(); ty != 0 {
		t.Errorf("text: frame %d", ty)
	}
	if st := w.srv.Stats(); st.DeniedProtocol < 8 {
		t.Errorf("stats %+v", st)
	}
}

func TestClientOfAnotherVersionIsRefused(t *testing.T) {
	w := newWorld(t)
	conn, _, err := websocket.Dial(t.Context(), w.http.URL, &websocket.DialOptions{HTTPClient: trusting(t), Subprotocols: []string{"nexd-relay-v9"}})
	if err == nil {
		_, _, err = conn.Read(t.Context())
	}
	if websocket.CloseStatus(err) != websocket.StatusPolicyViolation {
		t.Errorf("%v", err)
	}
	resp, err := trusting(t).Get(w.http.URL)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusUpgradeRequired {
		t.Errorf("a plain GET: %s", resp.Status)
	}
}

func TestOnlySealedPacketsAreCarried(t *testing.T) {
	w := newWorld(t)
	b := w.member("lab")
	me := newKey(t)
	r := w.admitted("lab", me)
	bad := [][]byte{[]byte("GET / HTTP/1.1\r\nHost: x.example\r\n\r\n"), data(1, 33), make([]byte, 148), {1}, append([]byte{0x45}, make([]byte, 100)...)}
	for _, p := range bad {
		r.send(relay.AppendData(nil, b.key.Public(), p))
	}
	r.send(relay.AppendFrame(nil, relay.TypeData, make([]byte, 3))) // not even a key
	r.send(relay.AppendFrame(nil, relay.Type(99), []byte("new")))   // of a later version: passed over
	r.send(relay.AppendData(nil, b.key.Public(), data(5, 64)))
	if g := b.next(); g.from != me.Public() || g.packet != string(data(5, 64)) {
		t.Errorf("%d bytes from %v", len(g.packet), g.from)
	}
	b.none("no sealed packet")
	if st := w.srv.Stats(); int(st.NotSealed) != len(bad)+1 || st.Packets != 1 {
		t.Errorf("stats %+v", st)
	}
}

func TestTokenThatEndsCutsTheConnection(t *testing.T) {
	w := newWorld(t)
	me := newKey(t)
	r := w.raw()
	r.auth(me, me.Public(), w.token("lab", me.Public(), time.Second).Text)
	if ty, _ := r.next(); ty != relay.TypeWelcome {
		t.Fatalf("frame %d", ty)
	}
	for _, tok := range []relay.Token{w.token("shop", me.Public(), time.Hour), w.token("lab", newKey(t).Public(), time.Hour)} {
		r.send(relay.AppendFrame(nil, relay.TypeRenew, []byte(tok.Text))) // another organization's, another node's
	}
	r.denied("after its end", relay.ByeExpired)
	eventually.Within(t, 5*time.Second, "the node is cut off", func() bool { st := w.srv.Stats(); return st.Cut == 1 && st.Nodes == 0 })
}

func TestClientRenewsItsToken(t *testing.T) {
	w := newWorld(t)
	key := newKey(t)
	m := w.start1("lab", key, func(c *relay.Config) {
		c.Token = func(context.Context) (relay.Token, error) {
			tok := w.token("lab", key.Public(), 3*time.Second)
			return tok, nil
		}
	})
	m.wait(true)
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for range 100 { // 5 s: the token of 3 s is renewed meanwhile
		<-look.C
		if ok, why, _ := m.client.Connected(); !ok {
			t.Fatalf("lost the connection: %s", why)
		}
	}
	if st := w.srv.Stats(); st.Admitted != 1 || st.Cut != 0 {
		t.Errorf("stats %+v", st)
	}
}

func TestBudgetsOfNodeAndOrganizationHold(t *testing.T) {
	w := newWorld(t, func(c *relayserver.Config) {
		c.NodeRate = bucket.Rate{PerSecond: 1, Burst: 50_000}
		c.OrgRate = bucket.Rate{PerSecond: 1, Burst: 80_000}
	})
	b := w.member("lab")
	flood := func(org mesh.OrgID) {
		r := w.admitted(org, newKey(t))
		for i := range 100 {
			r.send(relay.AppendData(nil, b.key.Public(), data(i, 1024)))
		}
		r.send(relay.AppendFrame(nil, relay.TypePing, []byte("12345678")))
		r.next()
	}
	flood("lab")
	if st := w.srv.Stats(); st.Bytes > 50_000 || st.Bytes < 48_000 || st.OverBudget != 100-st.Packets {
		t.Errorf("one node: %+v", st)
	}
	flood("lab")
	if st := w.srv.Stats(); st.Bytes > 80_000 || st.Bytes < 78_000 {
		t.Errorf("two nodes: %+v", st)
	}
	before := w.srv.Stats()
	flood("shop") // another organization is not slowed down by it
	if st := w.srv.Stats(); st.Unknown-before.Unknown < 48 {
		t.Errorf("another organization: %+v", st)
	}
}

func TestSilentNodeIsCutOff(t *testing.T) {
	w := newWorld(t, func(c *relayserver.Config) { c.Silence = 300 * time.Millisecond })
	r := w.admitted("lab", newKey(t))
	if ty, _ := r.next(); ty != 0 {
		t.Errorf("frame %d", ty)
	}
	eventually.Within(t, 5*time.Second, "the node is cut off", func() bool { return w.srv.Stats().Nodes == 0 })
}

func TestStrangerThatSaysNothingIsCutOff(t *testing.T) {
	w := newWorld(t, func(c *relayserver.Config) { c.AuthTime = 200 * time.Millisecond })
	r := w.raw()
	if ty, _ := r.next(); ty != 0 {
		t.Errorf("frame %d", ty)
	}
}

func TestFullRelayTakesNobody(t *testing.T) {
	w := newWorld(t, func(c *relayserver.Config) { c.MaxNodes = 1 })
	a := w.member("lab")
	b := w.start1("lab", newKey(t), func(c *relay.Config) { c.WaitMost = 50 * time.Millisecond })
	eventually.Within(t, 5*time.Second, "a node is refused", func() bool { return w.srv.Stats().DeniedFull > 0 })
	a.stop()
	b.wait(true)
}
