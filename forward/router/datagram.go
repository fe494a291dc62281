package router

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// maxDatagram holds any UDP datagram: 65,507 bytes over IPv4, 20 more over IPv6.
const maxDatagram = 65535

// buffers are lent to flows for as long as one datagram takes.
type buffers struct{ pool sync.Pool }

func (b *buffers) borrow() *[maxDatagram]byte {
	if buf, ok := b.pool.Get().(*[maxDatagram]byte); ok {
		return buf
	}
	return new([maxDatagram]byte)
}

func (b *buffers) giveBack(buf *[maxDatagram]byte) { b.pool.Put(buf) }

// receiver reads datagrams of one conn, borrowing a buffer only when there is
// something to read, as far as the conn lets it know.
type receiver struct {
	conn net.Conn
	from *buffers
	next func() (*[maxDatagram]byte, int, error)
}

func newReceiver(c net.Conn, from *buffers) *receiver {
	r := &receiver{conn: c, from: from}
	if w, ok := c.(interface{ WaitReadable() error }); ok {
		r.next = func() (*[maxDatagram]byte, int, error) {
			if err := w.WaitReadable(); err != nil {
				return nil, 0, err
			}
			return r.read()
		}
		return r
	}
	if r.next = hostNext(c, from); r.next == nil {
		r.next = r.read
	}
	return r
}

// read borrows first and waits with the buffer in hand.
func (r *receiver) read() (*[maxDatagram]byte, int, error) {
	buf := r.from.borrow()
	n, err := r.conn.Read(buf[:])
	if err != nil {
		r.from.giveBack(buf)
		return nil, 0, err
	}
	return buf, n, nil
}

// idle ends something that was quiet for too long. It costs no goroutine.
type idle struct {
	limit time.Duration
	end   func()
	born  time.Time
	last  atomic.Int64 // nanoseconds since born
	timer *time.Timer
}

func newIdle(limit time.Duration, end func()) *idle {
	i := &idle{limit: limit, end: end, born: time.Now()}
	i.timer = time.AfterFunc(1<<62, i.check)
	i.timer.Reset(limit)
	return i
}

func (i *idle) touch() { i.last.Store(int64(time.Since(i.born))) }

func (i *idle) check() {
	quiet := time.Since(i.born) - time.Duration(i.last.Load())
	if quiet >= i.limit {
		i.end()
		return
	}
	i.timer.Reset(i.limit - quiet)
}

func (i *idle) stop() { i.timer.Stop() }
