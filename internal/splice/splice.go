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

// ErrIdle is returned when a splice was cut because nothing moved.
var ErrIdle = errors.New("splice: idle for too long")

// drainTime is how long the way back may still deliver after one side refused
// what was written to it. A server that answers early and closes is heard so.
const drainTime = 5 * time.Second

// verdictTime is how long the end of a stream is held back while a writer of the
// same connection is stuck, in case that fails.
const (
	verdictTime = 500 * time.Millisecond
	verdictLook = 5 * time.Millisecond
)

// Options are the extras of a splice. The zero value has none of them.
type Options struct {
	Head     []byte        // was read from a already; goes to b first
	Idle     time.Duration // cut when nothing moved either way for so long; 0 = never
	HalfIdle time.Duration // the same once a side has sent EOF; 0 = as Idle
	AToB     *atomic.Int64 // if set, counts the bytes from a to b as they move
	BToA     *atomic.Int64 // if set, counts the bytes from b to a as they move
}

// Pipe copies both ways until both sides have sent EOF, one fails, the splice
// was idle for too long or ctx ends. A half-close is carried across. Pipe closes
// both connections and returns when both halves are done, with the bytes moved.
//
// The error says what went wrong that the peers did not do themselves: a side
// that hangs up or resets is an ordinary end, and so is the end of ctx.
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

// pipe is one splice: two connections and the two halves between them.
type pipe struct {
	a, b   net.Conn
	ab, ba half
	eofs   atomic.Int32 // halves that ended with EOF
	once   sync.Once    // guards the closing of both

	mu    sync.Mutex
	over  bool        // it is decided how the splice ends; later errors are echoes
	cause error       // what decided it, nil if it went well or ctx ended it
	reset bool        // one side refused data: the other is to be reset
	grace *time.Timer // ends the drain time after that
}

// ended takes note of how a half ended: a nil err is EOF.
func (p *pipe) ended(h *half, err error, reading bool) {
	if err == nil && p.wasReset(h) {
		err, reading = syscall.ECONNRESET, true
	}
	switch {
	case err == nil:
		h.finished.Store(true) // before dst can tell by itself that its writing end is closed
		if p.eofs.Add(1) == 2 {
			return // finish closes both, which says it as well
		}
		if !closeWrite(h.dst) {
			p.hangup(nil, false) // to close it is the only way to say EOF
		}
	case reading:
		p.hangup(err, true) // src is gone: there is nobody to carry anything to
	default:
		p.drain(err) // dst is gone, but may have said something before
	}
}

// wasReset says whether the EOF that h read was in truth a reset, of which a
// writer was told: a connection tells it once.
func (p *pipe) wasReset(h *half) bool {
	back := &p.ab
	if h == back {
		back = &p.ba
	}
	switch raw := rawConn(h.src); {
	case back.finished.Load(): // it was us who closed that end
		return false
	case isUnix(h.src): // its writer fails as soon as the peer has closed, which loses nothing; a real reset is read
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

// failsSoon waits for a busy writer to fail, which it reports, or to show that it
// has not. It looks now and then, since it is rare that anybody has to wait.
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

// decided says whether it is settled how the splice ends.
func (p *pipe) decided() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.over
}

// decide settles how the splice ends, if that is open. It needs the mutex.
func (p *pipe) decide(cause error) bool {
	if p.over {
		return false
	}
	p.over, p.cause = true, cause
	return true
}

// drain lets the other half deliver what is still there, for a while.
func (p *pipe) drain(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.decide(err) {
		return
	}
	p.reset = true
	p.grace = time.AfterFunc(drainTime, func() { p.hangup(nil, true) })
}

// hangup closes both sides now, which ends both halves. Abort tells the peers
// that the stream is not complete. The first cause is the one that is kept.
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

// failure is the cause of the end if it is not an ordinary one.
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

// ordinary says whether an error is only a peer, or our own side, hanging up.
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
		cw.CloseWrite() // an error means that side is gone, which its reader will see
	}
	return ok
}
