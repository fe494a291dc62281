package splice

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
	"syscall"
)

// half copies one direction.
type half struct {
	pipe     *pipe
	src, dst net.Conn
	head     []byte
	moved    atomic.Int64
	total    *atomic.Int64 // the caller's counter, may be nil
	writing  atomic.Bool   // a write to dst is in progress or has failed
	writes   atomic.Uint32 // completed writes to dst
	finished atomic.Bool   // src has ended, and so has the writing end of dst
}

// run copies until EOF or an error and reports it to the pipe.
func (h *half) run() {
	out := h.sink()
	if len(h.head) > 0 {
		if _, err := out.Write(h.head); err != nil {
			h.pipe.ended(h, err, false)
			return
		}
		h.head = nil
	}
	err, reading := h.copy(out)
	h.pipe.ended(h, err, reading)
}

// copy copies all data from src to the sink with the method that suits both. Reading
// reports whether the error came from src.
func (h *half) copy(out *sink) (err error, reading bool) {
	if r := newReader(h.src); r != nil {
		if to, ok := h.dst.(io.ReaderFrom); ok && out.host == nil {
			return h.bursts(r, to, out)
		}
		return h.fromSocket(r, out)
	}
	if from, ok := h.src.(io.WriterTo); ok && !isHost(h.src) {
		var w io.Writer = out
		if out.host != nil {
			w = hostSink{out}
		}
		_, err := from.WriteTo(w)
		if out.err != nil {
			return out.err, false
		}
		return notEOF(err), !isWrite(err)
	}
	return h.fromReader(out)
}

// fromSocket borrows a buffer only while the host socket has data.
func (h *half) fromSocket(r *reader, out *sink) (err error, reading bool) {
	for {
		buf, n, err := r.take()
		if err != nil {
			return notEOF(err), true
		}
		_, err = out.Write(buf.b[:n])
		r.keep(buf)
		if err != nil {
			return err, false
		}
	}
}

// bursts waits until the host socket has data. If it has more than a little, the
// destination reads all of it at once.
func (h *half) bursts(r *reader, to io.ReaderFrom, out *sink) (err error, reading bool) {
	b := &burst{half: h, sock: r}
	for {
		buf, n, err := r.take()
		if err != nil {
			return notEOF(err), true
		}
		_, err = out.Write(buf.b[:n])
		buf.free()
		switch {
		case err != nil:
			return err, false
		case n < smallSize:
			continue
		}
		b.drained = false
		h.writing.Store(true)
		_, err = to.ReadFrom(b)
		if err == nil {
			h.writing.Store(false)
		}
		switch {
		case b.err != nil:
			return notEOF(b.err), true
		case err != nil:
			return err, false
		}
	}
}

// burst reads the data that a socket holds now, and then returns EOF.
type burst struct {
	half    *half
	sock    *reader
	drained bool
	err     error // of the socket; io.EOF is its real end
}

// Read implements io.Reader and never waits.
func (b *burst) Read(p []byte) (int, error) {
	if b.drained || b.err != nil || len(p) == 0 {
		return 0, io.EOF
	}
	n, err := b.sock.read(p)
	if b.err = err; err != nil {
		return 0, io.EOF
	}
	b.half.writes.Add(1) // the previous data was written, because the destination reads again
	b.drained = n < len(p)
	b.half.count(n)
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// fromReader waits with a small buffer and uses a large one while the stream fills it.
func (h *half) fromReader(out *sink) (err error, reading bool) {
	buf := small.get()
	defer func() { buf.free() }()
	for {
		n, rerr := h.src.Read(buf.b)
		if n > 0 {
			if _, err := out.Write(buf.b[:n]); err != nil {
				return err, false
			}
		}
		if rerr != nil {
			return notEOF(rerr), true
		}
		buf = buf.fit(n)
	}
}

func (h *half) count(n int) {
	h.moved.Add(int64(n))
	if h.total != nil {
		h.total.Add(int64(n))
	}
}

// HostSink is the argument of a mesh connection's WriteTo if the other side is a socket of
// the host. A connection that can write its own memory to a descriptor does so inside
// RawConn().Write, and reports its progress with Moved; its write errors are *net.OpError
// with Op "write". Any other connection uses Write.
type HostSink interface {
	io.Writer
	RawConn() syscall.RawConn
	Moved(n int)
}

// hostSink is a sink with a socket of the host as its destination.
type hostSink struct{ *sink }

// RawConn implements HostSink.
func (w hostSink) RawConn() syscall.RawConn { return rawConn(w.half.dst) }

// Moved implements HostSink.
func (w hostSink) Moved(n int) { w.half.count(n) }

// sink is the writing end of a half. It counts bytes and remembers whether a write failed.
type sink struct {
	half *half
	host *writer // if dst is a host socket
	err  error
}

func (h *half) sink() *sink { return &sink{half: h, host: newWriter(h.dst)} }

// Write implements io.Writer.
func (w *sink) Write(p []byte) (n int, err error) {
	w.half.writing.Store(true)
	if w.host != nil {
		n, err = w.host.Write(p)
	} else {
		n, err = w.half.dst.Write(p)
	}
	w.half.count(n)
	if err != nil {
		w.err = err
		return n, err
	}
	w.half.writes.Add(1)
	w.half.writing.Store(false)
	return n, nil
}

// isHost reports whether a connection is a socket of the host, whose own WriteTo holds a
// buffer while it waits.
func isHost(c net.Conn) bool {
	switch c.(type) {
	case *net.TCPConn, *net.UnixConn:
		return true
	}
	return false
}

// isWrite reports whether the write of a copy failed.
func isWrite(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "write"
}

// rawConn returns nil if c is not a socket of the host. A type that embeds one is not,
// because it may have its own Read.
func rawConn(c net.Conn) syscall.RawConn {
	if !isHost(c) {
		return nil
	}
	raw, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}

func notEOF(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}
