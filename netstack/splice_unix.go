//go:build unix

package netstack

import (
	"errors"
	"io"
	"net"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"

	"nexd/internal/splice"
	"nexd/netstack/hostsocket"
)

// spliceTo is WriteTo to a socket of the host. done is false if w is none.
func (c *Conn) spliceTo(w io.Writer) (total int64, done bool, err error) {
	rc := hostsocket.RawConn(w)
	if rc == nil {
		return 0, false, nil
	}
	c.rd.turn.Lock()
	defer c.rd.turn.Unlock()
	out := new(hostsocket.Writer)
	sink, _ := w.(splice.HostSink)
	for {
		if err := c.readable(); err != nil {
			return total, true, eofIsNil(c.readError(err))
		}
		var empty tcpip.Error
		rcErr := rc.Write(func(fd uintptr) bool {
			out.FD, out.Full = int(fd), false
			for {
				res, err := c.ep.Read(out, tcpip.ReadOptions{})
				total += int64(res.Count)
				if res.Count > 0 {
					c.rxBuffer.Moved(res.Count, c.flow)
					if sink != nil {
						sink.Moved(res.Count)
					}
				}
				switch {
				case out.Full:
					return false // call again when the socket is writable
				case out.Err != nil:
					return true
				case err != nil:
					empty = err
					return true
				}
			}
		})
		switch {
		case rcErr != nil:
			return total, true, rcErr
		case out.Err != nil:
			return total, true, &net.OpError{Op: "write", Net: "host", Err: out.Err}
		}
		if _, ok := empty.(*tcpip.ErrWouldBlock); !ok {
			return total, true, eofIsNil(c.readError(c.receiveErrno(empty)))
		}
		c.rxBuffer.Blocked()
		<-c.rd.ready
	}
}

// socketSource is a source of the bytes that can be read from a non-blocking
// descriptor.
type socketSource struct {
	fd    int
	ready int
	mss   int
	short bool   // the last fill failed
	spill []byte // bytes that were read and not sent
}

// errSpilled fails a payload whose bytes are in spill.
var errSpilled = errors.New("netstack: a socket returned fewer bytes than it announced")

// available leaves out the last, partial packet if there are whole ones before it,
// because the rest of it is likely to follow.
func (s *socketSource) available() int {
	if s.ready > s.mss {
		return s.ready - s.ready%s.mss
	}
	return s.ready
}

func (s *socketSource) fill(room []byte) error {
	for done := 0; done < len(room); {
		n, errno := hostsocket.Read(s.fd, room[done:])
		switch {
		case errno == syscall.EINTR:
		case errno != 0 || n == 0:
			s.short, s.spill = true, append(s.spill, room[:done]...)
			return errSpilled
		default:
			done += n
		}
	}
	return nil
}

// progress is the result of moveFrom.
type progress int

const (
	moved      progress = iota // some bytes were moved
	socketIdle                 // nothing to read
	sendFull                   // no room in the send buffer
	socketEOF
)

// spliceFrom is ReadFrom a socket of the host. done is false if r is none.
func (c *Conn) spliceFrom(r io.Reader) (total int64, done bool, err error) {
	rc := hostsocket.RawConn(r)
	if rc == nil {
		return 0, false, nil
	}
	c.wr.turn.Lock()
	defer c.wr.turn.Unlock()
	src := new(socketSource)
	for {
		if err := c.writable(); err != nil {
			return total, true, c.opError("write", err)
		}
		var how progress
		var failed error
		rcErr := rc.Read(func(fd uintptr) bool {
			src.fd = int(fd)
			for {
				var n int
				n, how, failed = c.moveFrom(src)
				total += int64(n)
				switch {
				case failed != nil || how == sendFull || how == socketEOF:
					return true
				case how == socketIdle:
					return false // call again when the socket is readable
				}
			}
		})
		switch {
		case rcErr != nil:
			return total, true, rcErr
		case failed != nil:
			return total, true, failed
		case how == socketEOF:
			return total, true, nil
		}
		c.txBuffer.Blocked()
		<-c.wr.ready
	}
}

// moveFrom moves at most one super-segment from the socket to the stack.
func (c *Conn) moveFrom(src *socketSource) (int, progress, error) {
	if len(src.spill) > 0 {
		return c.sendSpill(src)
	}
	src.mss = c.flow.Payload()
	var errno syscall.Errno
	if src.ready, errno = hostsocket.Readable(src.fd); errno != 0 {
		return 0, moved, &net.OpError{Op: "read", Net: "host", Err: errno}
	}
	if src.ready == 0 {
		return c.probe(src)
	}
	src.short = false
	n, err := c.send(&c.out, src)
	switch {
	case src.short && len(src.spill) > 0:
		return c.sendSpill(src)
	case src.short:
		return 0, moved, nil // try again
	case err != nil:
		return 0, moved, c.opError("write", err)
	case n == 0:
		return 0, sendFull, nil
	}
	return n, moved, nil
}

// probe finds out whether a socket without bytes is idle or at its end.
func (c *Conn) probe(src *socketSource) (int, progress, error) {
	var b [1]byte
	n, errno := hostsocket.Read(src.fd, b[:])
	switch {
	case errno == syscall.EAGAIN:
		return 0, socketIdle, nil
	case errno == syscall.EINTR:
		return 0, moved, nil
	case errno != 0:
		return 0, moved, &net.OpError{Op: "read", Net: "host", Err: errno}
	case n == 0:
		return 0, socketEOF, nil
	}
	src.spill = append(src.spill, b[0])
	return c.sendSpill(src)
}

func (c *Conn) sendSpill(src *socketSource) (int, progress, error) {
	c.outBytes = src.spill
	n, err := c.send(&c.out, &c.outBytes)
	c.outBytes = nil
	src.spill = append(src.spill[:0], src.spill[n:]...)
	switch {
	case err != nil:
		return n, moved, c.opError("write", err)
	case n == 0:
		return 0, sendFull, nil
	}
	return n, moved, nil
}
