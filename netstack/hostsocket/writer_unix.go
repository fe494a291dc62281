//go:build unix

package hostsocket

import (
	"io"
	"net"
	"syscall"

	"nexd/internal/splice"
)

// RawConn returns v's descriptor if v is, or wraps, a stream socket of the host, else
// nil. Only these are known to be non-blocking.
func RawConn(v any) syscall.RawConn {
	var rc syscall.RawConn
	switch s := v.(type) {
	case splice.HostSink:
		rc = s.RawConn()
	case *net.TCPConn:
		rc, _ = s.SyscallConn()
	case *net.UnixConn:
		rc, _ = s.SyscallConn()
	}
	return rc
}

// Writer is an io.Writer to a non-blocking descriptor.
type Writer struct {
	FD   int
	Full bool  // the last Write stopped because the socket's buffer was full
	Err  error // of the last Write that failed
}

// Write implements io.Writer. It returns io.ErrShortWrite, and sets Full, if the
// socket accepts no more bytes.
func (w *Writer) Write(b []byte) (done int, err error) {
	for done < len(b) {
		n, errno := Write(w.FD, b[done:])
		switch {
		case errno == 0:
			done += n
		case errno == syscall.EINTR:
		case errno == syscall.EAGAIN:
			w.Full = true
			return done, io.ErrShortWrite
		default:
			w.Err = errno
			return done, errno
		}
	}
	return done, nil
}
