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
	udp   *udpPath

	heard   atomic.Int64 // when something last came, in Unix nanoseconds
	writing atomic.Int64 // when the write under way began; 0 = none is
	expires atomic.Int64 // of the token, Unix seconds
	leaving atomic.Bool  // it is being cut off

	mu     sync.Mutex
	budget bucket.Bucket
}

func newNode(s *Server, conn *websocket.Conn, key mesh.Key, id relay.SessionID, expires time.Time, shared relay.Shared) *node {
	n := &node{key: key, id: id, conn: conn, udp: newUDPPath(id, shared), queue: relay.NewQueue(relay.DataChunks, s.rooms.pool)}
	n.expires.Store(expires.Unix())
	n.heard.Store(time.Now().UnixNano())
	return n
}

// goodbye lets what waits be written, then the reason, then ends the connection.
func (n *node) goodbye(r relay.Reason, text string) {
	n.queue.Finish(relay.TypeBye, []byte{byte(r)}, []byte(text))
}

// cut ends the connection now, with a word if it can still take one.
func (n *node) cut(why string) {
	if why == cutExpired {
		n.goodbye(relay.ByeExpired, why)
		return
	}
	n.hangup()
}

func (n *node) hangup() { n.conn.CloseNow() }

const cutExpired = "the token has ended without another"

// overdue says why a connection has to end; empty if it may live.
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

// serve lives with an admitted connection until it ends.
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
	for {
		err := relay.ReadMessage(n.conn, func(msg []byte) error {
			n.heard.Store(time.Now().UnixNano())
			return relay.EachFrame(msg, func(t relay.Type, body []byte) error { return s.frame(n, t, body) })
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

// write writes what waits until the queue is finished, the connection breaks, or
// done is closed.
func (n *node) write(done <-chan struct{}) {
	for {
		some, err := n.queue.Take(func(m []byte) error {
			n.writing.Store(time.Now().UnixNano())
			defer n.writing.Store(0)
			if relay.Type(m[1]) == relay.TypeData && n.udp.send(m) {
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

// linger gives the other side a moment to read a goodbye and hang up by itself.
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

func (s *Server) frame(n *node, t relay.Type, body []byte) error {
	switch t {
	case relay.TypeData:
		s.forward(n, body)
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
			return nil // the one it has holds until its end
		}
		n.expires.Store(max(n.expires.Load(), claims.Expires.Unix()))
	}
	return nil
}

// forward puts a packet into its receiver's queue.
func (s *Server) forward(n *node, body []byte) {
	to, packet, err := relay.ParseData(body)
	class := relay.NotSealed
	if err == nil {
		class = relay.ClassOf(packet)
	}
	if class == relay.NotSealed {
		s.count.notSealed.Add(1)
		return
	}
	if !s.afford(n, len(packet)) {
		s.count.overBudget.Add(1)
		return
	}
	peer := n.room.find(to)
	if peer == nil || peer == n {
		s.count.unknown.Add(1)
		return
	}
	s.count.packets.Add(1)
	s.count.bytes.Add(uint64(len(packet)))
	s.count.dropped.Add(peer.queue.Push(n.key, packet, class))
}

// afford spends a packet's bytes of the node's budget and of its organization's.
func (s *Server) afford(n *node, size int) bool {
	if s.cfg.NodeRate == (bucket.Rate{}) && s.cfg.OrgRate == (bucket.Rate{}) {
		return true
	}
	now := time.Now()
	n.mu.Lock()
	ok := n.budget.Take(s.cfg.NodeRate, float64(size), now)
	n.mu.Unlock()
	return ok && n.room.take(s.cfg.OrgRate, size, now)
}
