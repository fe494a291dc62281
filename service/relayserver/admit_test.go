package relayserver

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/coder/websocket"

	"nexd/internal/leak"
	"nexd/relay"
)

// brokenNode is a node of s whose connection is gone already.
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

// Between joining and the welcome others may send: what waits is given back.
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
