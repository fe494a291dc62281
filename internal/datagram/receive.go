package datagram

import "net"

// Receiver reads the datagrams of a connected socket. It borrows a buffer only once there is a
// datagram to read, if the conn can tell. One goroutine uses it.
type Receiver struct {
	conn net.Conn
	pool *Pool
	next func() (*Buffer, int, error)
}

// Receiver makes a Receiver for c that borrows from p. When a read of a host socket fails,
// onError (may be nil) is called with the file descriptor, for instance to empty its error
// queue.
func (p *Pool) Receiver(c net.Conn, onError func(fd int)) *Receiver {
	r := &Receiver{conn: c, pool: p}
	if w, ok := c.(waitReadable); ok {
		r.next = func() (*Buffer, int, error) {
			if err := w.WaitReadable(); err != nil {
				return nil, 0, err
			}
			return r.read()
		}
	} else if r.next = hostReceiver(c, p, onError); r.next == nil {
		r.next = r.read
	}
	return r
}

// Next returns the next datagram in a buffer of the pool, and its length. The caller gives the
// buffer back with Pool.Put. After an error there is no buffer.
func (r *Receiver) Next() (*Buffer, int, error) { return r.next() }

// read borrows a buffer first and waits while it holds the buffer.
func (r *Receiver) read() (*Buffer, int, error) {
	buf := r.pool.Get()
	n, err := r.conn.Read(buf[:])
	if err != nil {
		r.pool.Put(buf)
		return nil, 0, err
	}
	return buf, n, nil
}
