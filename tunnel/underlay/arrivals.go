package underlay

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.zx2c4.com/wireguard/conn"

	"nexd/internal/sealed"
)

const (
	relayQueue  = 512                  // packets that may wait for WireGuard
	relayWait   = 5 * time.Millisecond // for room in the queue; then packets are dropped
	relayPacket = 2048                 // largest packet; the inner MTU is far below
)

// arrivals is a queue of packets from the relay, in the batches in which they came.
type arrivals struct {
	queue   chan *arrival
	queued  atomic.Int64  // packets in it
	room    chan struct{} // has a token after packets were taken
	partial *arrival      // of the receiving goroutine: the packets that found no buffer
	pool    *sync.Pool
}

// arrival is a batch of packets of one peer, one behind the other.
type arrival struct {
	from  *endpoint
	data  []byte
	sizes []int
	next  int // the first packet that was not taken, and where
	at    int // … it lies
}

func newArrivals() arrivals {
	return arrivals{queue: make(chan *arrival, 2*relayQueue), room: make(chan struct{}, 1), pool: &sync.Pool{New: func() any { return new(arrival) }}}
}

// arrival is an empty batch.
func (q *arrivals) arrival(from *endpoint) *arrival {
	a := q.pool.Get().(*arrival)
	a.from = from
	return a
}

func (q *arrivals) recycle(a *arrival) {
	*a = arrival{data: a.data[:0], sizes: a.sizes[:0]}
	q.pool.Put(a)
}

// add copies a packet.
func (a *arrival) add(packet []byte) {
	a.data = append(a.data, packet...)
	a.sizes = append(a.sizes, len(packet))
}

// put queues a batch. It returns false if there was no room for too long.
func (q *arrivals) put(a *arrival) bool {
	n := int64(len(a.sizes))
	if !q.reserve(n) {
		t := time.NewTimer(relayWait)
		defer t.Stop()
		for !q.reserve(n) {
			select {
			case <-q.room:
			case <-t.C:
				q.recycle(a)
				return false
			}
		}
	}
	q.queue <- a // never blocks: there are no more batches than packets
	return true
}

// reserve makes room for n packets. Any number fits into an empty queue.
func (q *arrivals) reserve(n int64) bool {
	for {
		queued := q.queued.Load()
		if queued > 0 && queued+n > relayQueue {
			return false
		}
		if q.queued.CompareAndSwap(queued, queued+n) {
			return true
		}
	}
}

// receive is a conn.ReceiveFunc of the queue. It also returns the number of packets that go
// further than WireGuard.
func (q *arrivals) receive(closed <-chan struct{}, bufs [][]byte, sizes []int, eps []conn.Endpoint) (n, data int, err error) {
	a := q.partial
	q.partial = nil
	if a == nil {
		select {
		case <-closed:
			return 0, 0, net.ErrClosed
		case a = <-q.queue:
		}
	}
	for a != nil {
		for n < len(bufs) && a.next < len(a.sizes) {
			size := a.sizes[a.next]
			sizes[n], eps[n] = copy(bufs[n], a.data[a.at:a.at+size]), a.from
			if bufs[n][0] == sealed.Data && size > sealed.DataMinSize {
				data++
			}
			a.next, a.at = a.next+1, a.at+size
			n++
		}
		if a.next < len(a.sizes) {
			q.partial = a
			break
		}
		q.recycle(a)
		if a = nil; n < len(bufs) {
			select {
			case a = <-q.queue:
			default:
			}
		}
	}
	q.queued.Add(int64(-n))
	select {
	case q.room <- struct{}{}:
	default:
	}
	return n, data, nil
}
