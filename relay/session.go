package relay

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"

	"nexd/mesh"
)

// session is one connection to a relay.
type session struct {
	c      *Client
	url    string
	conn   *websocket.Conn
	hangup func() // closes the connection at once; may be called again
	token  Token
	shared Shared
	id     SessionID
	udp    *udpCarrier // nil = none

	receiving sync.Mutex // held during Config.Receive

	mu      sync.Mutex
	heard   time.Time // when something last arrived
	pinged  time.Time // when the ping without an answer was sent; zero = there is none
	pingSeq uint64
	fault   error // what ended the session, if it is known
}

// SessionID identifies a session in datagrams. It is not secret.
type SessionID [4]byte

// open connects to the relay and authenticates.
func (c *Client) open(ctx context.Context, httpc *http.Client, tok Token) (s *session, err error) {
	life, end := context.WithCancel(context.WithoutCancel(ctx)) // context of the connection, which outlives ctx
	ctx, cancel := context.WithTimeout(ctx, c.cfg.DialTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, end)
	conn, resp, err := websocket.Dial(life, tok.URL, &websocket.DialOptions{HTTPClient: framing(httpc), Subprotocols: []string{Subprotocol}})
	if err != nil {
		end()
		return nil, dialError(tok.URL, resp, err)
	}
	s = &session{c: c, url: tok.URL, conn: conn, token: tok}
	s.hangup = func() { conn.CloseNow(); end() }
	conn.SetReadLimit(MaxMessage)
	onTime := context.AfterFunc(ctx, s.hangup)
	if conn.Subprotocol() != Subprotocol {
		err = mesh.Errorf(mesh.Invalid, "relay: %s is no relay of this version", tok.URL)
	} else {
		err = s.handshake()
	}
	if ended := !stop() || !onTime(); ended && err == nil {
		err = mesh.Errorf(mesh.Unavailable, "relay: %s does not answer in time", tok.URL)
	}
	if err != nil {
		s.hangup()
		return nil, err
	}
	return s, nil
}

// handshake has no time limit of its own: the caller closes the connection when the time is up.
func (s *session) handshake() error {
	body, err := s.await(TypeChallenge)
	if err != nil {
		return err
	}
	if len(body) != mesh.KeySize {
		return mesh.Errorf(mesh.Invalid, "relay: challenge of %d bytes", len(body))
	}
	if s.shared, err = NodeSecrets(s.c.cfg.Key, mesh.Key(body), s.token.Text); err != nil {
		return err
	}
	auth := AppendAuth(nil, Auth{Node: s.c.cfg.Key.Public(), Proof: s.shared.Proof, Token: s.token.Text})
	if err := s.conn.Write(context.Background(), websocket.MessageBinary, auth); err != nil {
		return mesh.Errorf(mesh.Unavailable, "relay: proof not sent: %w", err)
	}
	if body, err = s.await(TypeWelcome); err != nil {
		return err
	}
	if len(body) < len(s.id) {
		return mesh.Errorf(mesh.Invalid, "relay: welcome of %d bytes", len(body))
	}
	copy(s.id[:], body)
	return nil
}

// await reads the next message, which must begin with a frame of the type want.
func (s *session) await(want Type) (body []byte, err error) {
	err = ReadMessage(s.conn, func(msg []byte) error {
		t, b, _, err := NextFrame(msg)
		switch {
		case err != nil:
			return err
		case t == TypeBye:
			r, text := ParseBye(b)
			return &byeError{r, text}
		case t != want:
			return mesh.Errorf(mesh.Invalid, "relay: frame of type %d instead of %d", t, want)
		}
		body = bytes.Clone(b)
		return nil
	})
	return body, err
}

// ReadMessage waits for one binary message and passes it to handle. It holds no buffer while it
// waits.
func ReadMessage(conn *websocket.Conn, handle func(msg []byte) error) error {
	broken := func(err error) error { return mesh.Errorf(mesh.Unavailable, "relay: the connection broke: %w", err) }
	kind, r, err := conn.Reader(context.Background())
	if err != nil {
		return broken(err)
	}
	if kind != websocket.MessageBinary {
		return mesh.Errorf(mesh.Invalid, "relay: a message of text")
	}
	c := chunks.Get().(*chunk)
	defer chunks.Put(c)
	n := 0
	for {
		m, err := r.Read(c.buf[n:])
		n += m
		switch {
		case errors.Is(err, io.EOF):
			return handle(c.buf[:n])
		case err != nil:
			return broken(err)
		case n == len(c.buf): // the read limit of the connection permits one more byte
			if m, _ := r.Read(make([]byte, 1)); m > 0 {
				return mesh.Errorf(mesh.Invalid, "relay: a message of more than %d bytes", len(c.buf))
			}
			return handle(c.buf[:n])
		}
	}
}

// run serves an open session until it ends, and returns the reason.
func (s *session) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var tasks sync.WaitGroup
	defer tasks.Wait()
	defer s.hangup()
	defer cancel()
	defer context.AfterFunc(ctx, s.hangup)()
	s.heard = time.Now()
	if s.udp = newUDPCarrier(ctx, s); s.udp != nil {
		s.c.udp.Store(s.udp)
		defer s.c.udp.Store(nil)
		tasks.Go(func() { s.udp.run(ctx) })
	}
	tasks.Go(func() { defer cancel(); s.write(ctx) })
	tasks.Go(func() { defer cancel(); s.watch(ctx) })
	tasks.Go(func() { s.renew(ctx) })
	err := s.receive()
	s.fail(err)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fault
}

// fail records what ended the session. Only the first cause counts.
func (s *session) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fault == nil {
		s.fault = err
	}
}

func (s *session) write(ctx context.Context) {
	for {
		some, err := s.c.queue.Take(func(m []byte) error {
			if s.udp != nil && Type(m[1]) == TypeData && s.udp.message(m) {
				return nil
			}
			return s.conn.Write(context.Background(), websocket.MessageBinary, m)
		})
		switch {
		case err != nil:
			s.fail(mesh.Errorf(mesh.Unavailable, "relay: the connection broke: %w", err))
			return
		case some:
			s.c.stuck.Store(false)
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-s.c.queue.Wake():
		}
	}
}

func (s *session) receive() error {
	for {
		err := ReadMessage(s.conn, func(msg []byte) error {
			s.alive()
			var got batch
			err := EachFrame(msg, func(t Type, body []byte) error { return s.frame(&got, t, body) })
			s.deliver(&got)
			if mesh.KindOf(err) == mesh.Invalid {
				s.c.refused.Add(1)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
}

func (s *session) frame(got *batch, t Type, body []byte) error {
	switch t {
	case TypeData:
		if s.udp != nil {
			s.udp.touch() // so that the relay may switch to UDP
		}
		s.data(got, body)
	case TypePing:
		if len(body) == 8 && !s.c.queue.Own(TypePong, body) {
			return mesh.Errorf(mesh.Unavailable, "relay: it sends pings and reads nothing")
		}
	case TypePong:
		s.pong(body)
	case TypeBye:
		r, text := ParseBye(body)
		return &byeError{r, text}
	case TypeBind:
		if s.udp != nil && !s.udp.Bind(body) {
			return mesh.Errorf(mesh.Unavailable, "relay: it names channels and reads nothing")
		}
	case TypeBound:
		if s.udp != nil {
			s.udp.Bound(body)
		}
	}
	return nil
}

func (s *session) alive() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heard = time.Now()
}

func (s *session) pong(body []byte) {
	s.mu.Lock()
	var took time.Duration
	if len(body) == 8 && binary.BigEndian.Uint64(body) == s.pingSeq && !s.pinged.IsZero() {
		took, s.pinged = time.Since(s.pinged), time.Time{}
	}
	s.mu.Unlock()
	if took > 0 {
		s.c.setRTT(took)
	}
}

// watch sends pings, and ends the session when the relay does not answer.
func (s *session) watch(ctx context.Context) {
	tick := time.NewTicker(s.c.cfg.PingEvery)
	defer tick.Stop()
	dead := time.NewTimer(s.c.cfg.PingTimeout)
	defer dead.Stop()
	s.ping()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-s.c.probe:
		case <-dead.C:
			if s.unanswered() {
				s.fail(mesh.Errorf(mesh.Unavailable, "relay: silent for more than %v", s.c.cfg.PingTimeout))
				return
			}
			continue
		}
		if !s.ping() {
			continue // the last ping has no answer yet
		}
		dead.Reset(s.c.cfg.PingTimeout)
	}
}

// ping sends a ping, unless one has no answer yet.
func (s *session) ping() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.pinged.IsZero() && s.heard.Before(s.pinged) {
		return false
	}
	s.pingSeq++
	s.pinged = time.Now()
	s.c.queue.Own(TypePing, binary.BigEndian.AppendUint64(nil, s.pingSeq))
	return true
}

// unanswered reports whether nothing at all has arrived since the last ping.
func (s *session) unanswered() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.pinged.IsZero() && s.heard.Before(s.pinged)
}

// renew requests a new token at half the lifetime of the current one, and sends it to the relay.
func (s *session) renew(ctx context.Context) {
	tok := s.token
	for {
		if !sleep(ctx, max(time.Until(tok.Expires)/2, time.Second)) {
			return
		}
		next, err := s.c.newToken(ctx)
		if err != nil {
			s.c.log.Debug("relay: token not renewed", "err", err)
			continue
		}
		tok = next
		s.c.queue.Own(TypeRenew, []byte(tok.Text))
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
