package proxy

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"nexd/internal/splice"
)

// farewell bounds the time and the bytes of waiting for a client that was told
// no to hang up.
const (
	farewellTime  = time.Second
	farewellBytes = 256 << 10
)

// peekAhead is how much of a client's early data is looked at while its target is
// dialed.
const peekAhead = 4 << 10

// client is one connected program, from accept to end. Reads come from its
// buffer until takeHead has emptied that.
type client struct {
	net.Conn
	in  *bufio.Reader // what the client has said so far; nil after takeHead
	end func()        // closes the connection and counts it out; once is enough

	settle func() // counts the handshake as over; end does so too

	// unhook undoes what hangs the client up at the end of Serve.
	unhook func() bool

	hijacked atomic.Bool     // taken out of net/http's hands
	upstream *http.Transport // idle connections to targets of plain HTTP, of this client only
}

// newClient wraps an accepted connection. When ctx ends the client is hung up,
// until somebody else sees to that; done counts it out, settled its handshake.
func newClient(ctx context.Context, conn net.Conn, done, settled func()) *client {
	c := &client{Conn: conn, in: newReader(conn)}
	c.unhook = context.AfterFunc(ctx, func() { splice.Abort(conn) })
	c.settle = sync.OnceFunc(settled)
	c.end = sync.OnceFunc(func() {
		c.settle()
		c.unhook()
		conn.Close()
		if c.upstream != nil {
			c.upstream.CloseIdleConnections()
		}
		done()
	})
	return c
}

// readers are the buffers of clients that are being negotiated with.
var readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, peekAhead) }}

func newReader(conn net.Conn) *bufio.Reader {
	r := readers.Get().(*bufio.Reader)
	r.Reset(conn)
	return r
}

// Read implements io.Reader.
func (c *client) Read(p []byte) (int, error) {
	if c.in == nil {
		return c.Conn.Read(p)
	}
	n, err := c.in.Read(p)
	if c.in.Buffered() == 0 {
		c.in = nil
	}
	return n, err
}

// takeHead returns what the client said beyond its request, and gives the buffer
// back.
func (c *client) takeHead() (head []byte) {
	in := c.in
	c.in = nil
	if in == nil {
		return nil
	}
	if n := in.Buffered(); n > 0 {
		held, _ := in.Peek(n)
		head = bytes.Clone(held)
	}
	if in.Size() == peekAhead {
		in.Reset(nil)
		readers.Put(in)
	}
	return head
}

// takeBack makes the client readable again after net/http had it, whose reader
// may hold some of what the client said.
func (c *client) takeBack(in *bufio.Reader) {
	held, _ := in.Peek(in.Buffered())
	head := append(bytes.Clone(held), c.takeHead()...)
	c.in = bufio.NewReaderSize(io.MultiReader(bytes.NewReader(head), c.Conn), len(head)+peekAhead)
	c.in.Peek(len(head)) // now they are buffered
	if c.upstream != nil {
		c.upstream.CloseIdleConnections()
	}
}

// answer writes within a time limit.
func (c *client) answer(limit time.Duration, p []byte) error {
	c.SetWriteDeadline(time.Now().Add(limit))
	_, err := c.Write(p)
	c.SetWriteDeadline(time.Time{})
	return err
}

// patience is how long a dial takes before anybody looks whether the client is
// still there: most are over by then.
const patience = 50 * time.Millisecond

// watch calls hangup when the client goes away, or has gone away, after patience.
// What the client sends meanwhile stays in its buffer; when that is full, or the
// client has half-closed after saying something, there is nothing more to see. Stop
// ends the watch, and only then may the client be read again.
func (c *client) watch(hangup func()) (stop func()) {
	done := make(chan struct{})
	begin := time.AfterFunc(patience, func() {
		defer close(done)
		c.lookout(hangup)
	})
	return func() {
		if begin.Stop() {
			return
		}
		c.SetReadDeadline(time.Unix(1, 0)) // wakes the reader
		<-done
		c.SetReadDeadline(time.Time{})
	}
}

func (c *client) lookout(hangup func()) {
	for {
		n := c.in.Buffered()
		if n == c.in.Size() {
			return
		}
		_, err := c.in.Peek(n + 1)
		switch {
		case err == nil:
		case errors.Is(err, os.ErrDeadlineExceeded), err == io.EOF && n > 0:
			return
		default:
			hangup()
			return
		}
	}
}

// dismiss ends a client that was told no. Closing with unread data would be a
// reset, which may overtake the answer, so the client gets a little time to
// hang up first.
func (c *client) dismiss() {
	defer c.end()
	cw, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok || cw.CloseWrite() != nil {
		return
	}
	c.SetDeadline(time.Now().Add(farewellTime))
	io.CopyN(io.Discard, c.Conn, farewellBytes)
}
