package relay

import (
	"sync"
	"sync/atomic"

	"nexd/mesh"
)

// chunk holds whole frames, as many as fit into one message. Chunks come from a pool, so that an
// empty queue takes no memory.
type chunk struct {
	buf  [MaxMessage]byte
	n    int
	data uint64 // frames in it
}

var chunks = sync.Pool{New: func() any { return new(chunk) }}

// Pool bounds the memory of many queues. A nil Pool has no bound.
type Pool struct {
	most int64
	used atomic.Int64
}

// NewPool makes a pool of the given number of bytes.
func NewPool(bytes int64) *Pool { return &Pool{most: bytes / MaxMessage} }

// Used returns how many bytes the queues of the pool hold.
func (p *Pool) Used() int64 { return p.used.Load() * MaxMessage }

func (p *Pool) get() *chunk {
	if p != nil && p.used.Add(1) > p.most {
		p.used.Add(-1)
		return nil
	}
	return chunks.Get().(*chunk)
}

func (p *Pool) put(c *chunk) {
	if p != nil {
		p.used.Add(-1)
	}
	c.n, c.data = 0, 0
	chunks.Put(c)
}

// lane is a bounded list of chunks.
type lane struct {
	list []*chunk
	most int // chunks
	pool *Pool
}

// Queue holds frames until they are written, in three lanes: the connection's own frames, which are
// never dropped; handshakes and probes; data. A full lane drops its own oldest chunk, so that a
// flood of data never costs a handshake. The methods may be called from several goroutines, and
// none of them blocks.
type Queue struct {
	wake chan struct{} // room for one: there is something
	room chan struct{} // room for one: data was taken
	pool *Pool

	mu      sync.Mutex
	own     []byte // a few small frames; see Own
	last    []byte // written after all others; see Finish
	hands   lane
	data    lane
	dropped uint64
	closed  bool
}

// mostOwn bounds the connection's own frames that wait. A peer that follows the protocol never
// needs so much.
const mostOwn = 8 << 10

// Sizes of the lanes of a Queue, in chunks of MaxMessage.
const (
	DataChunks      = 32 // 512 KiB
	handshakeChunks = 4  // 64 KiB
)

// NewQueue makes a queue with room for the given number of data chunks from pool, which may be nil.
func NewQueue(dataChunks int, pool *Pool) *Queue {
	return &Queue{
		wake: make(chan struct{}, 1), room: make(chan struct{}, 1), pool: pool,
		hands: lane{most: handshakeChunks, pool: pool}, data: lane{most: max(dataChunks, 1), pool: pool},
	}
}

// Wake has a value when there may be something to Take.
func (q *Queue) Wake() <-chan struct{} { return q.wake }

func (q *Queue) ring() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// Own adds a frame of the connection itself. It returns false if too many of them wait: then the
// other side does not read, and the connection should end.
func (q *Queue) Own(t Type, parts ...[]byte) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return true
	}
	if len(q.own) >= mostOwn {
		return false
	}
	q.own = AppendFrame(q.own, t, parts...)
	q.ring()
	return true
}

// Push adds a data frame with a packet to or from peer. It copies the packet. It returns how many
// frames were dropped to make room.
func (q *Queue) Push(peer mesh.Key, packet []byte, class Class) (dropped uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.push(peer, packet, class)
}

// PushAll is Push for several packets of one peer, each with its own class.
func (q *Queue) PushAll(peer mesh.Key, packets ...[]byte) (dropped uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, p := range packets {
		dropped += q.push(peer, p, ClassOf(p))
	}
	return dropped
}

func (q *Queue) push(peer mesh.Key, packet []byte, class Class) (dropped uint64) {
	if len(packet) == 0 || len(packet) > MaxPacket || q.closed {
		return 1
	}
	l := &q.data
	if class == Handshake {
		l = &q.hands
	}
	c, dropped := l.room(HeaderSize + mesh.KeySize + len(packet))
	if c == nil { // the pool is empty, and this lane has no chunk to drop
		dropped++
	} else {
		c.n = len(AppendData(c.buf[:c.n], peer, packet))
		c.data++
		q.ring()
	}
	q.dropped += dropped
	return dropped
}

// Full reports whether more data may cost older data its place.
func (q *Queue) Full() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return !q.closed && len(q.data.list) >= q.data.most
}

// Room has a value when data was taken.
func (q *Queue) Room() <-chan struct{} { return q.room }

// room returns a chunk that has room for size more bytes. If necessary, the oldest chunk is
// dropped. It returns nil if there is none.
func (l *lane) room(size int) (c *chunk, dropped uint64) {
	if n := len(l.list); n > 0 && l.list[n-1].n+size <= MaxMessage {
		return l.list[n-1], 0
	}
	if len(l.list) < l.most {
		c = l.pool.get()
	}
	if c == nil && len(l.list) > 0 {
		c = l.take()
		dropped = c.data
		c.n, c.data = 0, 0
	}
	if c != nil {
		l.list = append(l.list, c)
	}
	return c, dropped
}

func (l *lane) take() *chunk {
	c := l.list[0]
	l.list[0] = nil
	if l.list = l.list[1:]; len(l.list) == 0 {
		l.list = nil
	}
	return c
}

func (l *lane) drop() {
	for len(l.list) > 0 {
		l.pool.put(l.take())
	}
}

// Take passes the next message to write and reports whether there was one: own frames first, then
// handshakes, then data. The message is valid until write returns. No lock is held during write.
func (q *Queue) Take(write func(message []byte) error) (bool, error) {
	own, c := q.next()
	switch {
	case own != nil:
		return true, write(own)
	case c != nil:
		defer q.pool.put(c)
		return true, write(c.buf[:c.n])
	}
	return false, nil
}

func (q *Queue) next() (own []byte, c *chunk) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case len(q.own) > 0:
		own, q.own = q.own, nil
	case len(q.hands.list) > 0:
		c = q.hands.take()
	case len(q.data.list) > 0:
		c = q.data.take()
		select {
		case q.room <- struct{}{}:
		default:
		}
	case q.last != nil:
		own, q.last = q.last, nil
	}
	return own, c
}

// Finish accepts no further frames except a last one, which is written after all others.
func (q *Queue) Finish(t Type, parts ...[]byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.closed {
		q.closed, q.last = true, AppendFrame(nil, t, parts...)
		q.ring()
	}
}

// Done reports whether the queue is finished and empty.
func (q *Queue) Done() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.closed && q.last == nil && len(q.own)+len(q.hands.list)+len(q.data.list) == 0
}

// Dropped returns how many data frames were dropped since NewQueue.
func (q *Queue) Dropped() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.dropped
}

// Size returns the memory that the queue holds now, in bytes.
func (q *Queue) Size() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return cap(q.own) + (len(q.hands.list)+len(q.data.list))*MaxMessage
}

// Reset drops what belongs to a connection that has ended: its own frames, and data, which would
// arrive too late. Handshakes wait for the next connection.
func (q *Queue) Reset() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.own = nil
	q.data.drop()
}

// Close releases the memory. The queue drops whatever is added later.
func (q *Queue) Close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed, q.own, q.last = true, nil, nil
	q.hands.drop()
	q.data.drop()
}
