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

// After a refusal, the proxy waits so long, and reads so many bytes, until the client hangs up.
const (
	farewellTime  = time.Second
	farewellBytes = 256 << 10
)

// peekAhead is how much of a client's early data is buffered while its target is dialled.
const peekAhead = 4 << 10

// client is one connected program, from accept to end. Reads come from the buffer in until takeHead
// has emptied it.
type client struct {
	net.Conn
	in  *bufio.Reader // what the client has sent so far; nil after takeHead
	end func()        // closes the connection and removes it from the counts; may be called again

	settle func() // counts the handshake as complete; end does so too

	// unhook keeps the end of Serve from closing the connection.
	unhook func() bool

	hijacked atomic.Bool     // taken out of net/http's hands
	upstream *http.Transport // idle connections to targets of plain HTTP, of this client only
}

// newClient wraps an accepted connection. When ctx ends, the connection is closed, unless unhook
// was called. At the end newClient calls done, and settled if the handshake was not complete.
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

// readers holds the buffers of clients that are in their handshake.
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

// takeHead returns what the client sent after its request, and gives the buffer back.
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

// takeBack makes the client readable again after net/http had it. The reader of net/http may hold
// some of what the client sent.
func (c *client) takeBack(in *bufio.Reader) {
	held, _ := in.Peek(in.Buffered())
	head := append(bytes.Clone(held), c.takeHead()...)
	c.in = bufio.NewReaderSize(io.MultiReader(bytes.NewReader(head), c.Conn), len(head)+peekAhead)
	c.in.Peek(len(head)) // now they are buffered
	if c.upstream != nil {
		c.upstream.CloseIdleConnections()
	}
}

// answer writes p within a time limit.
func (c *client) answer(limit time.Duration, p []byte) error {
	c.SetWriteDeadline(time.Now().Add(limit))
	_, err := c.Write(p)
	c.SetWriteDeadline(time.Time{})
	return err
}

// watchAfter is how long a dial may take before the proxy starts to watch whether the client is
// still there. Most dials are done by then.
const watchAfter = 50 * time.Millisecond

// watch calls hangup when the client has gone away, once watchAfter has passed. What the client
// sends meanwhile stays in its buffer. When the buffer is full, or the client has sent something
// and then half-closed, the watch ends without a result. The client must not be read before stop
// has returned.
func (c *client) watch(hangup func()) (stop func()) {
	done := make(chan struct{})
	begin := time.AfterFunc(watchAfter, func() {
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

// dismiss ends a client after a refusal. To close a connection with unread data would send a reset,
// which may overtake the refusal, so the client gets a moment to hang up first.
func (c *client) dismiss() {
	defer c.end()
	cw, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok || cw.CloseWrite() != nil {
		return
	}
	c.SetDeadline(time.Now().Add(farewellTime))
	io.CopyN(io.Discard, c.Conn, farewellBytes)
}
