package relayserver

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"nexd/internal/bucket"
	"nexd/mesh"
	"nexd/relay"
)

// node is one admitted connection.
type node struct {
	key   mesh.Key
	id    relay.SessionID
	room  *room
	conn  *websocket.Conn
	queue *relay.Queue
	udp   *relay.Carrier

	heard   atomic.Int64 // when something last arrived, in Unix nanoseconds
	writing atomic.Int64 // when the current write began; 0 = there is none
	expires atomic.Int64 // of the token, Unix seconds
	leaving atomic.Bool  // it is being disconnected

	mu     sync.Mutex
	budget bucket.Bucket
}

func newNode(s *Server, conn *websocket.Conn, key mesh.Key, id relay.SessionID, expires time.Time, shared relay.Shared) *node {
	n := &node{key: key, id: id, conn: conn, queue: relay.NewQueue(relay.DataChunks, s.rooms.pool)}
	n.udp = relay.NewCarrier(id, shared.ToNode, shared.ToRelay, n.queue.Own)
	n.expires.Store(expires.Unix())
	n.heard.Store(time.Now().UnixNano())
	return n
}

// goodbye ends the connection with a reason, after the queued frames are written.
func (n *node) goodbye(r relay.Reason, text string) {
	n.queue.Finish(relay.TypeBye, []byte{byte(r)}, []byte(text))
}

// cut ends the connection now. A node whose token has expired gets a goodbye.
func (n *node) cut(why string) {
	if why == cutExpired {
		n.goodbye(relay.ByeExpired, why)
		return
	}
	n.hangup()
}

func (n *node) hangup() { n.conn.CloseNow() }

const cutExpired = "the token has ended without another"

// overdue returns the reason to end a connection, or an empty string.
func (n *node) overdue(now, wall time.Time, silence, stuck time.Duration) string {
	since := func(at int64) time.Duration { return now.Sub(time.Unix(0, at)) }
	switch began := n.writing.Load(); {
	case began != 0 && since(began) > stuck:
		return "it reads nothing"
	case since(n.heard.Load()) > silence:
		return "it is silent"
	case wall.Unix() >= n.expires.Load():
		return cutExpired
	}
	return ""
}

// serve serves an admitted connection until it ends.
func (s *Server) serve(n *node) {
	var tasks sync.WaitGroup
	defer s.rooms.leave(n)
	defer tasks.Wait()
	defer n.queue.Close()
	defer n.hangup()
	if s.stopping() {
		n.goodbye(relay.ByeStopping, "the relay stops")
	}
	done := make(chan struct{})
	defer close(done)
	tasks.Go(func() { defer n.hangup(); n.write(done) })
	var out outgoing
	for {
		err := relay.ReadMessage(n.conn, func(msg []byte) error {
			n.heard.Store(time.Now().UnixNano())
			err := relay.EachFrame(msg, func(t relay.Type, body []byte) error { return s.frame(n, &out, t, body) })
			s.forward(n, &out)
			return err
		})
		if err != nil {
			if mesh.KindOf(err) == mesh.Invalid {
				s.count.deniedProtocol.Add(1)
			}
			s.log.Debug("relay: node gone", "node", n.key.Short(), "err", err)
			return
		}
	}
}

// write writes the queued frames until the queue is finished, the connection breaks, or done is
// closed.
func (n *node) write(done <-chan struct{}) {
	for {
		some, err := n.queue.Take(func(m []byte) error {
			n.writing.Store(time.Now().UnixNano())
			defer n.writing.Store(0)
			if relay.Type(m[1]) == relay.TypeData && n.udp.SendMessage(m) {
				return nil
			}
			return write(n.conn, m)
		})
		if err != nil || n.queue.Done() {
			n.linger(err, done)
			return
		}
		if some {
			continue
		}
		select {
		case <-done:
			return
		case <-n.queue.Wake():
		}
	}
}

// linger gives the other side a moment to read a goodbye and to hang up.
func (n *node) linger(err error, done <-chan struct{}) {
	if err != nil {
		return
	}
	t := time.NewTimer(time.Second)
	defer t.Stop()
	select {
	case <-done:
	case <-t.C:
	}
}

func (s *Server) frame(n *node, out *outgoing, t relay.Type, body []byte) error {
	switch t {
	case relay.TypeData:
		s.add(n, out, body)
	case relay.TypePing:
		if len(body) == 8 && !n.queue.Own(relay.TypePong, body) {
			return mesh.Errorf(mesh.Invalid, "relayserver: it sends pings and reads nothing")
		}
	case relay.TypeRenew:
		if len(body) > relay.MaxToken {
			return mesh.Errorf(mesh.Invalid, "relayserver: token of %d bytes", len(body))
		}
		claims, err := s.claims(string(body), n.key)
		if err != nil || claims.Org != n.room.org {
			return nil // the current token stays valid until it expires
		}
		n.expires.Store(max(n.expires.Load(), claims.Expires.Unix()))
	case relay.TypeBind:
		if !n.udp.Bind(body) {
			return mesh.Errorf(mesh.Invalid, "relayserver: it names channels and reads nothing")
		}
	case relay.TypeBound:
		n.udp.Bound(body)
	}
	return nil
}
