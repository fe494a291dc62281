package splice

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// ErrIdle is the error of a splice that ended because no data moved.
var ErrIdle = errors.New("splice: idle for too long")

// drainTime is how long the opposite direction may still deliver data after one side has
// refused a write. It lets the reply through of a server that replies early and closes.
const drainTime = 5 * time.Second

// verdictTime is how long a splice delays the end of a stream while a write to the same
// connection blocks, because that write may fail.
const (
	verdictTime = 500 * time.Millisecond
	verdictLook = 5 * time.Millisecond
)

// Options are the options of a splice. The zero value is valid.
type Options struct {
	Head     []byte        // already read from a; goes to b first
	Idle     time.Duration // end the splice after this time without data; 0 = never
	HalfIdle time.Duration // the same once a side has sent EOF; 0 = as Idle
	AToB     *atomic.Int64 // if set, counts the bytes from a to b as they move
	BToA     *atomic.Int64 // if set, counts the bytes from b to a as they move
}

// Pipe copies in both directions until both sides have sent EOF, one fails, the splice
// was idle for too long or ctx ends. It forwards a half-close. It closes both connections
// and returns when both halves are done, with the number of bytes moved.
//
// The error is nil if a side closed or reset its connection, or if ctx ended.
func (o Options) Pipe(ctx context.Context, a, b net.Conn) (aToB, bToA int64, err error) {
	p := &pipe{a: a, b: b}
	p.ab = half{pipe: p, src: a, dst: b, head: o.Head, total: o.AToB}
	p.ba = half{pipe: p, src: b, dst: a, total: o.BToA}
	defer context.AfterFunc(ctx, func() { p.hangup(nil, true) })()
	defer watchIdle(p, o.Idle, o.HalfIdle)()

	var other sync.WaitGroup
	other.Go(p.ba.run)
	p.ab.run()
	other.Wait()
	p.finish()
	return p.ab.moved.Load(), p.ba.moved.Load(), p.failure()
}

// pipe is one splice: two connections, and a half for each direction.
type pipe struct {
	a, b   net.Conn
	ab, ba half
	eofs   atomic.Int32 // halves that ended with EOF
	once   sync.Once    // guards the closing of both

	mu    sync.Mutex
	over  bool        // the outcome is decided; later errors only follow from it
	cause error       // of the end; nil if it went well or ctx ended it
	reset bool        // one side refused data, so the other gets a reset
	grace *time.Timer // ends the drain time after that
}

// ended records how a half ended; a nil err means EOF.
func (p *pipe) ended(h *half, err error, reading bool) {
	if err == nil && p.wasReset(h) {
		err, reading = syscall.ECONNRESET, true
	}
	switch {
	case err == nil:
		h.finished.Store(true) // before dst reports that its writing end is closed
		if p.eofs.Add(1) == 2 {
			return // finish closes both, which sends the EOF too
		}
		if !closeWrite(h.dst) {
			p.hangup(nil, false) // only closing can send the EOF
		}
	case reading:
		p.hangup(err, true) // src is gone, so nobody reads the other half's data
	default:
		p.drain(err) // dst is gone, but may have sent data before
	}
}

// wasReset reports whether the EOF that h read was a reset, reported to the connection's
// writer. A connection reports a reset only once.
func (p *pipe) wasReset(h *half) bool {
	back := &p.ab
	if h == back {
		back = &p.ba
	}
	switch raw := rawConn(h.src); {
	case back.finished.Load(): // the splice itself closed that end
		return false
	case isUnix(h.src): // a write fails as soon as the peer has closed, which loses nothing; a read reports a real reset
		return false
	case raw != nil:
		return cannotSend(raw) && !back.finished.Load()
	case back.writing.Load():
		return p.failsSoon(back)
	}
	return false
}

func isUnix(c net.Conn) bool {
	_, ok := c.(*net.UnixConn)
	return ok
}

// failsSoon reports whether a blocked writer fails within verdictTime. It polls, because
// it rarely has to wait.
func (p *pipe) failsSoon(writer *half) bool {
	writes := writer.writes.Load()
	for range verdictTime / verdictLook {
		switch {
		case p.decided():
			return true
		case !writer.writing.Load(), writer.writes.Load() != writes:
			return false
		}
		time.Sleep(verdictLook)
	}
	return false
}

// decided reports whether the outcome of the splice is decided.
func (p *pipe) decided() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.over
}

// decide decides the outcome of the splice if it is still open. The caller holds the
// mutex.
func (p *pipe) decide(cause error) bool {
	if p.over {
		return false
	}
	p.over, p.cause = true, cause
	return true
}

// drain lets the other half deliver its remaining data for drainTime.
func (p *pipe) drain(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.decide(err) {
		return
	}
	p.reset = true
	p.grace = time.AfterFunc(drainTime, func() { p.hangup(nil, true) })
}

// hangup closes both sides at once, which ends both halves. With abort it resets them,
// so the peers know that the stream is incomplete. It keeps the first cause.
func (p *pipe) hangup(cause error, abort bool) {
	p.mu.Lock()
	p.decide(cause)
	p.mu.Unlock()
	p.once.Do(func() { closeBoth(p.a, p.b, abort) })
}

// finish closes both sides after the halves are done.
func (p *pipe) finish() {
	p.mu.Lock()
	reset, grace := p.reset, p.grace
	p.mu.Unlock()
	if grace != nil {
		grace.Stop()
	}
	p.hangup(nil, reset)
}

// failure returns the cause of the end unless it is ordinary.
func (p *pipe) failure() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cause == nil || ordinary(p.cause) {
		return nil
	}
	if errors.Is(p.cause, ErrIdle) {
		return p.cause
	}
	return fmt.Errorf("splice: between %v and %v: %w", p.a.RemoteAddr(), p.b.RemoteAddr(), p.cause)
}

// ordinary reports whether an error only means that a peer, or this side, has closed the
// connection.
func ordinary(err error) bool {
	for _, e := range []error{syscall.ECONNRESET, syscall.EPIPE, syscall.ECONNABORTED, syscall.ENOTCONN, net.ErrClosed} {
		if errors.Is(err, e) {
			return true
		}
	}
	return hangupOnThisSystem(err)
}

func closeBoth(a, b net.Conn, abort bool) {
	if abort {
		setReset(a)
		setReset(b)
	}
	a.Close()
	b.Close()
}

func closeWrite(c net.Conn) bool {
	cw, ok := c.(interface{ CloseWrite() error })
	if ok {
		cw.CloseWrite() // an error means that the side is gone, which its reader reports
	}
	return ok
}
