package repair

import "time"

// Autotune grows the socket buffer of one direction of a connection to twice the
// bandwidth-delay product of the path. It grows no further, because more bytes in
// flight only wait in queues and add latency for everyone. gVisor's own auto-tuning
// does not grow the receive buffer far enough.
//
// Autotune measures how long half a buffer takes, starting at a moment when the
// caller had to wait, because from then on the path limits the rate. gVisor announces
// at most half of the receive buffer as window (a quarter when the reader is one step
// behind) and wakes a writer when half of the send buffer is free. A connection that
// the buffer limits therefore moves half a buffer in one or two round trips, and then
// the buffer is doubled. On a short path half a buffer takes many round trips, and
// the buffer stays as it is.
type Autotune struct {
	size, limit int  // of the buffer, in bytes
	send        bool // the send buffer, else the receive buffer
	shrunk      int  // how often Fit has halved the size

	measuring bool
	since     time.Time
	bytes     int           // moved since then
	rtt       time.Duration // shortest round trip seen
}

// ReceiveBuffer is the Autotune of a receive buffer of size bytes.
func ReceiveBuffer(size, limit int) Autotune { return Autotune{size: size, limit: limit} }

// SendBuffer is the Autotune of a send buffer of size bytes.
func SendBuffer(size, limit int) Autotune { return Autotune{size: size, limit: limit, send: true} }

// Blocked is told that the caller has to wait because the receive buffer is empty or
// the send buffer full.
func (a *Autotune) Blocked() {
	if !a.measuring && a.size < a.limit {
		a.measuring, a.since, a.bytes = true, time.Now(), 0
	}
}

// Moved is told that n bytes of f's connection were read or written.
func (a *Autotune) Moved(n int, f *Flow) {
	f.use()
	if !a.measuring {
		return
	}
	if a.bytes += n; a.bytes < a.size/2 {
		return
	}
	a.measuring = false
	if !a.send && f.r.maxBuffer != nil && 2*a.size > f.r.maxBuffer() {
		return
	}
	if a.measured(time.Since(a.since), f.roundTrip()) {
		f.resize(a)
	}
}

// measured is told how long half a buffer took, and the round trip. It reports
// whether it has increased the size.
func (a *Autotune) measured(took, rtt time.Duration) bool {
	a.rtt = shortest(a.rtt, rtt)
	perHalf := time.Duration(float64(took) * float64(a.size/2) / float64(max(a.bytes, 1)))
	if a.rtt == 0 || perHalf > 2*a.rtt+a.rtt/2 {
		return false
	}
	a.size = min(2*a.size, a.limit)
	return true
}

// leastSend is the least size of a send buffer while memory is scarce.
const leastSend = 16 << 10

// Fit keeps the send buffer within the limit of the moment, and lets it return to its size after
// that. It is called before each write.
func (a *Autotune) Fit(f *Flow) {
	if f.r.maxBuffer == nil {
		return
	}
	most := max(f.r.maxBuffer(), leastSend)
	for shift := 0; ; shift++ { // in steps, because the limit changes with every connection
		size := a.size >> shift
		if size > most {
			continue
		}
		if shift != a.shrunk {
			a.shrunk = shift
			f.ep.SocketOptions().SetSendBufferSize(int64(size), true)
		}
		return
	}
}

func (f *Flow) resize(a *Autotune) {
	o := f.ep.SocketOptions()
	if a.send {
		o.SetSendBufferSize(int64(a.size>>a.shrunk), true)
		return
	}
	o.SetReceiveBufferSize(int64(a.size), false) // the next acknowledgement announces the larger window
}

// shortest is the smaller one of two durations, where 0 means unknown.
func shortest(a, b time.Duration) time.Duration {
	switch {
	case a == 0:
		return b
	case b == 0:
		return a
	}
	return min(a, b)
}
