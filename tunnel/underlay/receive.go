package underlay

import (
	"errors"
	"net"
	"time"

	"golang.zx2c4.com/wireguard/conn"

	"nexd/internal/sealed"
	"nexd/tunnel/arrived"
	"nexd/tunnel/udp"
)

// After errorsAtOnce failed reads in a row a pause follows each further one. WireGuard never
// sees these errors: it ends its receiving goroutine after a few.
const (
	errorsAtOnce = 10
	errorPause   = 100 * time.Millisecond
)

// receiver is one receiving goroutine's state.
type receiver struct {
	b     *Bind
	r     udp.Reader
	admit func() // waits while too many packets are inside WireGuard
	spans [udp.BatchSize]udp.Span

	arrived arrived.Batch // of the peer below
	of      *peer
}

func (b *Bind) receivers(socks *openSockets) []conn.ReceiveFunc {
	var fns []conn.ReceiveFunc
	v4, v6 := socks.Readers()
	if v4 != nil {
		fns = append(fns, (&receiver{b: b, r: v4, admit: b.pace.Admitter()}).receiveIPv4)
	}
	if v6 != nil {
		fns = append(fns, (&receiver{b: b, r: v6, admit: b.pace.Admitter()}).receiveIPv6)
	}
	if b.relay != nil {
		closed, admit := socks.closed, b.pace.Admitter()
		fns = append(fns, func(bufs [][]byte, sizes []int, eps []conn.Endpoint) (int, error) {
			admit()
			n, data, err := b.relay.receive(closed, bufs, sizes, eps)
			b.pace.Received(data)
			return n, err
		})
	}
	return fns
}

// WireGuard names its goroutines by the names of these two.
func (r *receiver) receiveIPv4(bufs [][]byte, sizes []int, eps []conn.Endpoint) (int, error) {
	return r.receive(bufs, sizes, eps)
}

func (r *receiver) receiveIPv6(bufs [][]byte, sizes []int, eps []conn.Endpoint) (int, error) {
	return r.receive(bufs, sizes, eps)
}

// receive reads until a packet of a known peer arrives.
func (r *receiver) receive(bufs [][]byte, sizes []int, eps []conn.Endpoint) (int, error) {
	for failures := 0; ; {
		r.admit()
		n, err := r.r.Read(bufs, sizes, r.spans[:])
		if errors.Is(err, net.ErrClosed) {
			return 0, net.ErrClosed
		}
		if err != nil {
			r.b.counters.receiveErrors.Add(1)
			r.b.logger.Debug("receive", "err", err)
			if failures++; failures > errorsAtOnce {
				time.Sleep(errorPause)
			}
			continue
		}
		failures = 0
		if used := r.attribute(r.spans[:n], bufs, sizes, eps); used > 0 {
			return used, nil
		}
	}
}

// attribute sets the endpoints, and the size 0 for packets of no known peer. It returns the
// number of slots to look at.
func (r *receiver) attribute(spans []udp.Span, bufs [][]byte, sizes []int, eps []conn.Endpoint) (used int) {
	var m memo
	now, known, data := r.b.now(), uint64(0), 0
	var of *endpoint
	size, same := 0, uint32(0)
	for _, s := range spans {
		m.arriving(s.At)
		for i := s.First; i < s.First+s.Count; i++ {
			e := r.b.attribute(bufs[i][:sizes[i]], s.Src, now, &m)
			if e == nil {
				sizes[i] = 0
				continue
			}
			if bufs[i][0] == sealed.Data {
				if sizes[i] > sealed.DataMinSize { // a keepalive ends in WireGuard
					data++
				}
				if e != of || sizes[i] != size { // packets of one peer and size follow each other
					r.count(of, size, same, now)
					of, size, same = e, sizes[i], 0
				}
				same++
			}
			eps[i] = e
			used = i + 1
			known++
		}
	}
	r.count(of, size, same, now)
	r.arrivedFrom(nil, now)
	r.b.counters.attributed.Add(known)
	r.b.pace.Received(data)
	return used
}
