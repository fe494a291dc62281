//go:build unix

package splice

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
)

// A host socket is used through its descriptor, always without waiting in the
// kernel: Go's poller does the waiting, and so no memory is tied up in it. The
// calls happen inside RawConn's callbacks, where the descriptor cannot be closed
// and given to somebody else.

// reader is the reading end of a host socket, for one goroutine.
type reader struct {
	raw  syscall.RawConn
	call func(fd uintptr) bool // takeNow, made once so that no read allocates
	into func(fd uintptr) bool // readNow, made once likewise
	buf  *buffer
	next *pool // of the buffer that the next take borrows
	p    []byte
	n    int
	err  error
}

// newReader is nil if c is not a socket of the host.
func newReader(c net.Conn) *reader {
	if raw := rawConn(c); raw != nil {
		return &reader{raw: raw, next: small}
	}
	return nil
}

// take waits for data and returns it in a borrowed buffer, or the error, which
// is io.EOF at the end. keep gives the buffer back.
func (r *reader) take() (*buffer, int, error) {
	if r.call == nil {
		r.call = r.takeNow
	}
	err := r.raw.Read(r.call)
	buf := r.buf
	r.buf = nil
	if err == nil && r.err == nil && r.n > 0 {
		return buf, r.n, nil
	}
	if buf != nil {
		buf.free()
	}
	return nil, 0, r.outcome(err)
}

// keep ends the loan of a buffer and sizes the next by what this one brought.
func (r *reader) keep(buf *buffer) {
	r.next = buf.home.after(r.n)
	buf.free()
}

func (r *reader) takeNow(fd uintptr) bool {
	r.buf = r.next.get()
	r.n, r.err = recv(fd, r.buf.b, 0)
	if r.err == syscall.EAGAIN {
		r.buf.free()
		r.buf, r.next = nil, small
		return false
	}
	return true
}

// read reads into p what is there. Nothing there is 0, nil, and the end io.EOF.
func (r *reader) read(p []byte) (int, error) {
	if r.into == nil {
		r.into = r.readNow
	}
	r.p = p
	err := r.raw.Read(r.into)
	r.p = nil
	if err == nil && (r.err == nil && r.n > 0 || r.err == syscall.EAGAIN) {
		return r.n, nil
	}
	return 0, r.outcome(err)
}

func (r *reader) readNow(fd uintptr) bool {
	r.n, r.err = recv(fd, r.p, 0)
	return true
}

// outcome is the error of a read that brought nothing.
func (r *reader) outcome(err error) error {
	switch {
	case err != nil:
		return opError("read", err)
	case r.err != nil:
		return opError("read", r.err)
	}
	return io.EOF
}

// writer is the writing end of a host socket, for one goroutine.
type writer struct {
	raw  syscall.RawConn
	call func(fd uintptr) bool // writeNow, made once so that no write allocates
	p    []byte
	n    int
	err  error
}

// newWriter is nil if c is not a socket of the host.
func newWriter(c net.Conn) *writer {
	raw := rawConn(c)
	if raw == nil {
		return nil
	}
	w := &writer{raw: raw}
	w.call = w.writeNow
	return w
}

// Write writes all of p, waiting for room.
func (w *writer) Write(p []byte) (int, error) {
	w.p, w.n, w.err = p, 0, nil
	err := w.raw.Write(w.call)
	w.p = nil
	if err == nil {
		err = w.err
	}
	if err != nil {
		return w.n, opError("write", err)
	}
	return w.n, nil
}

func (w *writer) writeNow(fd uintptr) bool {
	for w.n < len(w.p) {
		n, err := send(fd, w.p[w.n:])
		if err == syscall.EAGAIN {
			return false
		}
		if err != nil {
			w.err = err
			return true
		}
		w.n += n
	}
	return true
}

// cannotSend says whether a socket has lost its writing end, without the lock
// that a blocked writer holds.
func cannotSend(raw syscall.RawConn) bool {
	var err error
	if raw.Control(func(fd uintptr) { _, err = send(fd, nil) }) != nil {
		return false // closed by us
	}
	return err != nil && err != syscall.EAGAIN
}

func opError(op string, err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return os.NewSyscallError(op, errno)
	}
	return err
}

// hangupOnThisSystem knows the names a hang-up has on this system besides those
// of POSIX; there are none.
func hangupOnThisSystem(error) bool { return false }
