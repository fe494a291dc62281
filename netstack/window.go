package netstack

import (
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// window lets one direction's socket buffer grow to what the path needs: twice
// the rate times the round trip, and no more, because what is in flight beyond
// that only waits in queues and makes everybody's latency.
//
// It measures how long half a buffer takes, from a moment when the caller had to
// wait, since then what moves is what the path carries. gVisor announces at most
// half of the receive buffer as window, a quarter when the reader is one step
// behind, and wakes a writer when half of the send buffer is free; so a path that
// is held up by the buffer moves half of it in one or two round trips. Then it is
// doubled. On a short path half a buffer takes many, and it stays as it is.
type window struct {
	size, limit int // of the buffer, bytes

	measuring bool
	since     time.Time
	bytes     int           // moved since then
	rtt       time.Duration // the shortest seen
}

// blocked is told that the caller waits: the receive buffer is empty or the send
// buffer full.
func (w *window) blocked() {
	if !w.measuring && w.size < w.limit {
		w.measuring, w.since, w.bytes = true, time.Now(), 0
	}
}

// moved is told of n more bytes that went through; c is the connection, whose
// side's turn the caller has.
func (w *window) moved(n int, c *Conn) {
	if !w.measuring {
		return
	}
	if w.bytes += n; w.bytes < w.size/2 {
		return
	}
	w.measuring = false
	if w.measured(time.Since(w.since), c.roundTrip()) {
		c.resize(w)
	}
}

// measured is told how long the bytes took, half a buffer or a little more, and
// how long a round trip is; it says whether the buffer is to grow.
func (w *window) measured(took, rtt time.Duration) bool {
	w.rtt = shortest(w.rtt, rtt)
	perHalf := time.Duration(float64(took) * float64(w.size/2) / float64(max(w.bytes, 1)))
	if w.rtt == 0 || perHalf > 2*w.rtt+w.rtt/2 {
		return false
	}
	w.size = min(2*w.size, w.limit)
	return true
}

func (c *Conn) resize(w *window) {
	if w == &c.rxGrown {
		// The next acknowledgement carries the larger window.
		c.ep.SocketOptions().SetReceiveBufferSize(int64(w.size), false)
		return
	}
	c.ep.SocketOptions().SetSendBufferSize(int64(w.size), true)
}

// roundTrip is the shorter of the sender's smoothed estimate and the receiver's,
// which a connection that only receives has to go by.
func (c *Conn) roundTrip() time.Duration {
	var info tcpip.TCPInfoOption
	if err := c.ep.GetSockOpt(&info); err != nil {
		return 0
	}
	c.ep.LockUser()
	received := c.ep.RcvAutoParams.RTT
	c.ep.UnlockUser()
	return shortest(info.RTT, received)
}

// shortest is the smaller of two durations that are known, which 0 is not.
func shortest(a, b time.Duration) time.Duration {
	switch {
	case a == 0:
		return b
	case b == 0:
		return a
	}
	return min(a, b)
}
