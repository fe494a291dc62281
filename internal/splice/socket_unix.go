//go:build unix

package splice

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
)

// A splice uses the descriptor of a host socket and never waits in the kernel. Go's poller
// waits, so waiting needs no buffer. The calls are made inside RawConn's callbacks, where
// nobody can close and reuse the descriptor.

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

// newReader returns nil if c is not a socket of the host.
func newReader(c net.Conn) *reader {
	if raw := rawConn(c); raw != nil {
		return &reader{raw: raw, next: small}
	}
	return nil
}

// take waits for data and returns it in a borrowed buffer, or an error, which is io.EOF at
// the end. keep returns the buffer.
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

// keep returns a buffer and chooses the size of the next one.
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

// read reads the available data into p. It returns 0, nil without data, and io.EOF at the
// end.
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

// outcome returns the error of a read without data.
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

// newWriter returns nil if c is not a socket of the host.
func newWriter(c net.Conn) *writer {
	raw := rawConn(c)
	if raw == nil {
		return nil
	}
	w := &writer{raw: raw}
	w.call = w.writeNow
	return w
}

// Write writes all of p and waits for buffer space.
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

// cannotSend reports whether the writing end of a socket is gone, without the lock that a
// blocked writer holds.
func cannotSend(raw syscall.RawConn) bool {
	var err error
	if raw.Control(func(fd uintptr) { _, err = send(fd, nil) }) != nil {
		return false // closed by this process
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

// hangupOnThisSystem recognizes errors for a closed connection besides those of POSIX;
// this system has none.
func hangupOnThisSystem(error) bool { return false }
