package relay

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"sync"
)

// maxWSHead is the longest head of a WebSocket frame.
const maxWSHead = 14

var wsFrames = sync.Pool{New: func() any { return new([maxWSHead + MaxMessage]byte) }}

// frameWriter writes whole WebSocket frames. The library writes a message in pieces of 4 KiB, and
// each piece would become a TLS record, a segment and a system call. Like the connection of the
// library, it is used by one goroutine at a time.
type frameWriter struct {
	to   io.Writer
	buf  *[maxWSHead + MaxMessage]byte // nil while no frame is under way
	n    int
	long int // what is to come of a frame that is longer than any of ours and does not wait
}

// Write implements io.Writer. An error of a delayed piece is returned with the last piece.
func (w *frameWriter) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		n, err := w.some(rest)
		rest = rest[n:]
		if err != nil {
			return len(p) - len(rest), err
		}
	}
	return len(p), nil
}

// some takes at least one byte.
func (w *frameWriter) some(p []byte) (n int, err error) {
	if w.buf == nil {
		if w.long > 0 {
			n = min(w.long, len(p))
			w.long -= n
		} else {
			n = wholeFrames(p)
		}
		if n > 0 {
			_, err = w.to.Write(p[:n])
			return n, err
		}
		w.buf = wsFrames.Get().(*[maxWSHead + MaxMessage]byte)
	}
	n = copy(w.buf[w.n:], p)
	w.n += n
	out := wholeFrames(w.buf[:w.n])
	if out == 0 && w.n == len(w.buf) {
		size, _ := wsFrameSize(w.buf[:])
		w.long, out = size-w.n, w.n
	}
	if out > 0 {
		_, err = w.to.Write(w.buf[:out])
		w.n = copy(w.buf[:], w.buf[out:w.n])
	}
	if w.n == 0 {
		wsFrames.Put(w.buf)
		w.buf = nil
	}
	return n, err
}

// wholeFrames returns how many bytes at the beginning of b are whole WebSocket frames.
func wholeFrames(b []byte) (n int) {
	for {
		size, ok := wsFrameSize(b[n:])
		if !ok || size > len(b)-n {
			return n
		}
		n += size
	}
}

// wsFrameSize returns the length of the frame at the beginning of b. ok is false if b is too short
// to tell.
func wsFrameSize(b []byte) (int, bool) {
	if len(b) < 2 {
		return 0, false
	}
	head, size := 2, int(b[1]&0x7f)
	switch {
	case size == 126 && len(b) >= 4:
		head, size = 4, int(binary.BigEndian.Uint16(b[2:]))
	case size == 127 && len(b) >= 10:
		head, size = 10, int(min(binary.BigEndian.Uint64(b[2:]), 1<<30)) // more is no frame of anybody
	case size >= 126:
		return 0, false
	}
	if b[1]&0x80 != 0 {
		head += 4
	}
	return head + size, true
}

// framing makes the client of a WebSocket write whole frames.
func framing(c *http.Client) *http.Client {
	via := *c
	if via.Transport == nil {
		via.Transport = http.DefaultTransport
	}
	via.Transport = upgrader{via.Transport}
	return &via
}

// upgrader puts a frameWriter on connections that become WebSockets.
type upgrader struct{ http.RoundTripper }

func (u upgrader) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := u.RoundTripper.RoundTrip(r)
	if err == nil && resp.StatusCode == http.StatusSwitchingProtocols {
		if conn, ok := resp.Body.(io.ReadWriteCloser); ok {
			resp.Body = struct {
				io.ReadCloser
				io.Writer
			}{conn, &frameWriter{to: conn}}
		}
	}
	return resp, err
}

// Framing makes the server of a WebSocket write whole frames. Pass the result to the function that
// accepts the WebSocket.
func Framing(w http.ResponseWriter) http.ResponseWriter { return &hijackable{w} }

type hijackable struct{ http.ResponseWriter }

// Unwrap is for http.ResponseController.
func (h *hijackable) Unwrap() http.ResponseWriter { return h.ResponseWriter }

// Hijack implements http.Hijacker.
func (h *hijackable) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	framed := &framedConn{Conn: conn, w: frameWriter{to: conn}}
	rw.Writer.Reset(framed)
	return framed, rw, nil
}

type framedConn struct {
	net.Conn
	w frameWriter
}

// Write implements net.Conn.
func (c *framedConn) Write(p []byte) (int, error) { return c.w.Write(p) }
