package relayserver

import (
	"context"
	"encoding/binary"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/coder/websocket"

	"nexd/control"
	"nexd/internal/leak"
	"nexd/relay"
)

// brokenNode is a node of s whose connection has broken already.
func brokenNode(t *testing.T, s *Server, expires time.Time) *node {
	t.Helper()
	conns := make(chan *websocket.Conn, 1)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := accept(w, r)
		if err != nil {
			t.Errorf("accept: %v", err)
			close(conns)
			return
		}
		conn.CloseNow()
		conns <- conn
	}))
	defer web.Close()
	conn, _, err := websocket.Dial(context.Background(), web.URL, &websocket.DialOptions{Subprotocols: []string{relay.Subprotocol}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	return newNode(s, <-conns, [32]byte{1}, s.rooms.newID(), expires, relay.Shared{})
}

func testServer(t *testing.T) *Server {
	t.Helper()
	leak.Check(t)
	s, err := New(Config{TokenKey: make([]byte, 32)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Other nodes may send between the joining and the welcome. If the welcome fails, the queued
// packets are released.
func TestAConnectionThatBreaksBeforeItsWelcomeHoldsNoMemory(t *testing.T) {
	s := testServer(t)
	n := brokenNode(t, s, time.Now().Add(time.Hour))
	packet := make([]byte, 64)
	packet[0] = 4
	n.queue.PushAll([32]byte{2}, packet)
	if s.Stats().Queued == 0 {
		t.Fatal("nothing waits")
	}
	if err := s.welcome("lab", n); err == nil {
		t.Fatal("a broken connection was welcomed")
	}
	n.queue.PushAll([32]byte{2}, packet) // by who found it before it left
	if st := s.Stats(); st.Queued != 0 || st.Nodes != 0 || st.Organizations != 0 {
		t.Errorf("it is still there: %+v", st)
	}
}

// A Drop between the check of the token and the joining takes effect.
func TestANodeThatIsDroppedWhileItJoinsIsNotLetIn(t *testing.T) {
	s := testServer(t)
	n := brokenNode(t, s, time.Now().Add(control.RelayTokenLife))
	s.Drop("lab", n.key)
	err := s.welcome("lab", n)
	if r, ok := errors.AsType[*refusal](err); !ok || r.reason != relay.ByeDenied || s.Stats().Admitted != 0 {
		t.Errorf("it joined: %v", err)
	}
}

func TestRemovalsAreForgottenAndBounded(t *testing.T) {
	r, now := removals{until: map[member]int64{}}, time.Unix(1_800_000_000, 0)
	for i := range mostRemovals + 10 {
		m := member{org: "lab"}
		binary.BigEndian.PutUint32(m.key[:], uint32(i))
		r.add(m, now)
	}
	if len(r.order) != mostRemovals || len(r.until) != mostRemovals {
		t.Errorf("%d and %d are remembered", len(r.order), len(r.until))
	}
	m := member{org: "lab"}
	r.add(m, now)
	r.add(m, now.Add(time.Minute)) // removed again
	end := now.Add(control.RelayTokenLife).Unix()
	if !r.refuse(m, end+60) || r.refuse(m, end+61) || r.refuse(member{org: "shop"}, end) {
		t.Error("the wrong tokens are refused")
	}
	r.add(member{org: "shop"}, now.Add(control.RelayTokenLife))
	if !r.refuse(m, end+60) || len(r.until) != 2 {
		t.Errorf("%d are remembered after an hour", len(r.until))
	}
}
