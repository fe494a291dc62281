package netstack

import (
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"

	"nexd/netstack/gvisor"
	"nexd/netstack/repair"
)

// Keepalive detects dead peers of idle connections. A live one costs a packet per
// minute each way. In the first seconds after the last bytes, package repair asks, too.
const (
	keepaliveIdle     = 60 * time.Second
	keepaliveInterval = 15 * time.Second
	keepaliveCount    = 5
)

// Conn is a TCP connection of a Net. Besides net.Conn it implements CloseRead and
// CloseWrite, and ReadFrom and WriteTo for efficient copies. Its errors are
// *net.OpError around a syscall.Errno, net.ErrClosed or os.ErrDeadlineExceeded.
type Conn struct {
	n     *Net
	ep    *tcp.Endpoint
	queue *waiter.Queue
	entry waiter.Entry
	flow  *repair.Flow

	local, remote *net.TCPAddr

	rd, wr      side
	closed      atomic.Bool
	readClosed  atomic.Bool
	writeClosed atomic.Bool

	in       tcpip.SliceWriter // used by the Read that holds rd.turn
	out      payload           // used by the Write or ReadFrom that holds wr.turn
	outBytes slice             // likewise
	rxBuffer repair.Autotune   // under rd.turn
	txBuffer repair.Autotune   // under wr.turn
}

var (
	_ net.Conn      = (*Conn)(nil)
	_ io.ReaderFrom = (*Conn)(nil)
	_ io.WriterTo   = (*Conn)(nil)
)

// newConn makes a Conn of an endpoint that is connected or about to be.
func (n *Net) newConn(ep tcpip.Endpoint, queue *waiter.Queue, local, remote netip.AddrPort) *Conn {
	c := &Conn{
		n: n, ep: ep.(*tcp.Endpoint), queue: queue,
		local: net.TCPAddrFromAddrPort(local), remote: net.TCPAddrFromAddrPort(remote),
	}
	c.rd.init()
	c.wr.init()
	c.flow = n.repairs.NewFlow(c.ep, remote.Addr(), c.wr.ready.wake)
	receive := n.cfg.BufferSize
	if n.cfg.MaxBuffer != nil { // what is announced cannot be taken back later
		receive = min(receive, max(n.cfg.MaxBuffer()/8, scarceReceive))
	}
	c.rxBuffer = repair.ReceiveBuffer(receive, n.cfg.MaxReceive)
	c.txBuffer = repair.SendBuffer(n.cfg.BufferSize, n.cfg.MaxSend)
	// The stack may be sending already, and it reads the owner under this lock.
	c.ep.LockUser()
	c.ep.SetOwner(c.flow)
	c.ep.UnlockUser()
	o := c.ep.SocketOptions()
	o.SetSendBufferSize(int64(n.cfg.BufferSize), true) // true turns gVisor's own auto-tuning off
	if receive != n.cfg.BufferSize {
		o.SetReceiveBufferSize(int64(receive), false)
	}
	c.setKeepAlive(keepaliveIdle, keepaliveInterval, keepaliveCount)
	c.entry.Init(c, waiter.EventIn|waiter.EventOut|waiter.EventErr|waiter.EventHUp|waiter.EventRdHUp)
	queue.EventRegister(&c.entry)
	return c
}

func (c *Conn) setKeepAlive(idle, interval time.Duration, count int) {
	c.flow.KeepaliveIdle(idle)
	i, v := tcpip.KeepaliveIdleOption(idle), tcpip.KeepaliveIntervalOption(interval)
	c.ep.SetSockOpt(&i)
	c.ep.SetSockOpt(&v)
	c.ep.SetSockOptInt(tcpip.KeepaliveCountOption, count)
	c.ep.SocketOptions().SetKeepAlive(true)
}

// SetKeepAlive turns keepalive probes on or off. They are on by default.
func (c *Conn) SetKeepAlive(on bool) error {
	if c.closed.Load() {
		return c.opError("set", net.ErrClosed)
	}
	c.ep.SocketOptions().SetKeepAlive(on)
	return nil
}

// SetKeepAlivePeriod sets the idle time before the first keepalive probe.
func (c *Conn) SetKeepAlivePeriod(d time.Duration) error {
	if c.closed.Load() {
		return c.opError("set", net.ErrClosed)
	}
	c.setKeepAlive(d, min(d, keepaliveInterval), keepaliveCount)
	return nil
}

// SetLinger sets what Close does with bytes that were not delivered. With 0, Close
// drops them and resets the connection at once. With any other number, which is the
// default, they are delivered in the background.
func (c *Conn) SetLinger(seconds int) error {
	if c.closed.Load() {
		return c.opError("set", net.ErrClosed)
	}
	c.ep.SocketOptions().SetLinger(tcpip.LingerOption{Enabled: seconds == 0})
	return nil
}

// NotifyEvent is called by the stack when the endpoint becomes readable or writable.
func (c *Conn) NotifyEvent(mask waiter.EventMask) {
	if mask&(waiter.EventIn|waiter.EventErr|waiter.EventHUp|waiter.EventRdHUp) != 0 {
		c.rd.ready.wake()
	}
	if mask&(waiter.EventOut|waiter.EventErr|waiter.EventHUp) != 0 {
		c.wr.ready.wake()
	}
}

// LocalAddr returns the local *net.TCPAddr, also after Close.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr returns the peer's *net.TCPAddr, also after Close.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// Read reads what was received. It returns io.EOF after the peer has closed its half.
func (c *Conn) Read(b []byte) (int, error) {
	c.rd.turn.Lock()
	defer c.rd.turn.Unlock()
	for {
		if err := c.readable(); err != nil {
			return 0, c.readError(err)
		}
		if len(b) == 0 {
			return 0, nil
		}
		c.in = b
		res, err := c.ep.Read(&c.in, tcpip.ReadOptions{})
		c.in = nil
		if err == nil {
			c.rxBuffer.Moved(res.Count, c.flow)
			return res.Count, nil
		}
		if _, ok := err.(*tcpip.ErrWouldBlock); !ok {
			return 0, c.readError(c.receiveErrno(err))
		}
		c.rxBuffer.Blocked()
		<-c.rd.ready
	}
}

// readable returns an error if reads are not possible any more.
func (c *Conn) readable() error {
	switch {
	case c.closed.Load():
		return net.ErrClosed
	case c.readClosed.Load():
		return io.EOF
	}
	return c.rd.deadlineError()
}

// receiveErrno converts the error of a read; the end of the stream is io.EOF.
func (c *Conn) receiveErrno(err tcpip.Error) error {
	switch err.(type) {
	case *tcpip.ErrClosedForReceive:
		if c.closed.Load() || c.n.isClosed() {
			return net.ErrClosed
		}
		return io.EOF
	case *tcpip.ErrAborted, *tcpip.ErrConnectionAborted:
		if c.closed.Load() || c.n.isClosed() {
			return net.ErrClosed
		}
		return syscall.ECONNRESET
	case *tcpip.ErrInvalidEndpointState, *tcpip.ErrNotConnected:
		return net.ErrClosed
	}
	return gvisor.Errno(err)
}

func (c *Conn) readError(err error) error {
	if err == io.EOF {
		return err
	}
	return c.opError("read", err)
}

// Write writes all of b. It blocks while the send buffer is full.
func (c *Conn) Write(b []byte) (int, error) {
	c.wr.turn.Lock()
	defer c.wr.turn.Unlock()
	written := 0
	for {
		if err := c.writable(); err != nil {
			return written, c.opError("write", err)
		}
		if len(b) == 0 {
			return written, nil
		}
		c.outBytes = b
		n, err := c.send(&c.out, &c.outBytes)
		c.outBytes = nil
		if err != nil {
			return written, c.opError("write", err)
		}
		written += n
		b = b[n:]
		if n == 0 {
			c.txBuffer.Blocked()
			<-c.wr.ready
		}
	}
}

func (c *Conn) writable() error {
	switch {
	case c.closed.Load():
		return net.ErrClosed
	case c.writeClosed.Load():
		return syscall.EPIPE
	}
	return c.wr.deadlineError()
}

func (c *Conn) sendErrno(err tcpip.Error) error {
	switch err.(type) {
	case *tcpip.ErrClosedForReceive, *tcpip.ErrClosedForSend:
		if c.closed.Load() || c.n.isClosed() {
			return net.ErrClosed
		}
		return syscall.EPIPE
	}
	return c.receiveErrno(err)
}

// Close ends both directions. Bytes that were written are still delivered. If
// received bytes were not read, the peer gets a reset, as with a kernel's sockets.
func (c *Conn) Close() error {
	if c.closed.Swap(true) {
		return c.opError("close", net.ErrClosed)
	}
	c.queue.EventUnregister(&c.entry)
	c.rd.close()
	c.wr.close()
	c.flow.Closed()
	c.ep.Close()
	return nil
}

// CloseWrite closes the sending half; reading goes on.
func (c *Conn) CloseWrite() error {
	if c.closed.Load() {
		return c.opError("close", net.ErrClosed)
	}
	c.writeClosed.Store(true)
	c.wr.ready.wake()
	return c.shutdown(tcpip.ShutdownWrite)
}

// CloseRead closes the receiving half; writing goes on.
func (c *Conn) CloseRead() error {
	if c.closed.Load() {
		return c.opError("close", net.ErrClosed)
	}
	c.readClosed.Store(true)
	c.rd.ready.wake()
	return c.shutdown(tcpip.ShutdownRead)
}

func (c *Conn) shutdown(how tcpip.ShutdownFlags) error {
	if err := c.ep.Shutdown(how); err != nil {
		return c.opError("shutdown", gvisor.Errno(err))
	}
	return nil
}

// SetDeadline sets the read and write deadlines. The zero time means none.
func (c *Conn) SetDeadline(t time.Time) error { return c.setDeadline(t, &c.rd, &c.wr) }

// SetReadDeadline sets the time at which reads fail with os.ErrDeadlineExceeded.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.setDeadline(t, &c.rd) }

// SetWriteDeadline sets the time at which writes fail with os.ErrDeadlineExceeded.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.setDeadline(t, &c.wr) }

func (c *Conn) setDeadline(t time.Time, sides ...*side) error {
	if c.closed.Load() {
		return c.opError("set", net.ErrClosed)
	}
	for _, s := range sides {
		s.setDeadline(t)
	}
	return nil
}

func (c *Conn) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Source: c.local, Addr: c.remote, Err: err}
}
