//go:build linux

package load

import (
	"context"
	"errors"
	"flag"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// ClientCalls are the methods of a load client, exported for net/rpc. Round trips may run
// during a bulk flow.
type ClientCalls struct {
	dialer   dialer
	received atomic.Int64

	mu   sync.Mutex
	bulk []net.Conn
	held []net.Conn
}

// Bulk describes a bulk flow.
type Bulk struct {
	Up      bool
	Streams int
}

// Latency is the duration of round trips.
type Latency struct {
	Count    int
	P50, P99 time.Duration
}

// Burst describes a series of new connections: each worker opens one after the other
// during the window.
type Burst struct {
	Workers int
	Window  time.Duration
}

// Rate is the result of a burst.
type Rate struct {
	Count, Errors int
	Elapsed       time.Duration
	P50, P99      time.Duration
	LastError     string
}

// RunClient serves calls until its standard input ends.
func RunClient(args []string, stdin io.Reader, stdout io.Writer) error {
	f := flag.NewFlagSet(RoleClient, flag.ContinueOnError)
	c := new(ClientCalls)
	f.TextVar(&c.dialer.target, "target", netip.AddrPort{}, "the load server")
	f.StringVar(&c.dialer.proxy, "proxy", "", "SOCKS5 proxy on the way")
	if err := f.Parse(args); err != nil {
		return err
	}
	return answer(c, stdin, stdout)
}

// open dials and sends the first byte.
func (c *ClientCalls) open(ctx context.Context, want byte) (net.Conn, error) {
	conn, err := c.dialer.dial(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := conn.Write([]byte{want}); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// exchange opens a connection and waits for one byte.
func (c *ClientCalls) exchange(ctx context.Context) (net.Conn, error) {
	conn, err := c.open(ctx, wantOne)
	if err != nil {
		return nil, err
	}
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(DialLimit)
	}
	conn.SetReadDeadline(deadline)
	var one [1]byte
	if _, err := io.ReadFull(conn, one[:]); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// FirstByte tries until it receives a byte from the server.
func (c *ClientCalls) FirstByte(limit time.Duration, _ *struct{}) error {
	end := time.Now().Add(limit)
	for {
		// So a lost first packet does not cost the kernel's retransmission timeout of a second.
		ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
		conn, err := c.exchange(ctx)
		cancel()
		if err == nil {
			return conn.Close()
		}
		if time.Now().After(end) {
			return err
		}
		time.Sleep(500 * time.Microsecond)
	}
}

// Begin starts a bulk flow that runs until End.
func (c *ClientCalls) Begin(b Bulk, _ *struct{}) error {
	want := byte(wantDown)
	if b.Up {
		want = wantUp
	}
	for range b.Streams {
		conn, err := c.open(context.Background(), want)
		if err != nil {
			return errors.Join(err, c.End(struct{}{}, nil))
		}
		c.mu.Lock()
		c.bulk = append(c.bulk, conn)
		c.mu.Unlock()
		if b.Up {
			go pour(conn)
		} else {
			go drain(conn, func(n int) { c.received.Add(int64(n)) })
		}
	}
	return nil
}

// End closes all bulk flows with a reset, which discards data in flight.
func (c *ClientCalls) End(struct{}, *struct{}) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.bulk {
		conn.(*net.TCPConn).SetLinger(0)
		conn.Close()
	}
	c.bulk = nil
	return nil
}

// Received returns the number of bytes received by bulk flows.
func (c *ClientCalls) Received(_ struct{}, n *int64) error {
	*n = c.received.Load()
	return nil
}

// RoundTrips exchanges blocks, one at a time.
func (c *ClientCalls) RoundTrips(window time.Duration, l *Latency) error {
	conn, err := c.open(context.Background(), wantEcho)
	if err != nil {
		return err
	}
	defer conn.Close()
	var block [echoSize]byte
	var took []time.Duration
	for end := time.Now().Add(window); ; {
		began := time.Now()
		if began.After(end) && len(took) > 0 {
			break
		}
		conn.SetDeadline(began.Add(DialLimit))
		if _, err := conn.Write(block[:]); err != nil {
			return err
		}
		if _, err := io.ReadFull(conn, block[:]); err != nil {
			return err
		}
		took = append(took, time.Since(began))
	}
	*l = Latency{Count: len(took), P50: quantile(took, 0.5), P99: quantile(took, 0.99)}
	return nil
}

// Connections opens connections, reads one byte from each and closes it.
func (c *ClientCalls) Connections(b Burst, r *Rate) error {
	var mu sync.Mutex
	var wg sync.WaitGroup
	var took []time.Duration
	began := time.Now()
	end := began.Add(b.Window)
	for range b.Workers {
		wg.Go(func() {
			for time.Now().Before(end) {
				start := time.Now()
				conn, err := c.exchange(context.Background())
				if err == nil {
					conn.Close()
				}
				mu.Lock()
				if err != nil {
					r.Errors++
					r.LastError = err.Error()
				} else {
					took = append(took, time.Since(start))
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	r.Elapsed, r.Count = time.Since(began), len(took)
	r.P50, r.P99 = quantile(took, 0.5), quantile(took, 0.99)
	return nil
}

// Hold opens n connections and leaves them idle.
func (c *ClientCalls) Hold(n int, opened *int) error {
	for range n {
		conn, err := c.exchange(context.Background())
		if err != nil {
			return err
		}
		c.held = append(c.held, conn)
	}
	*opened = len(c.held)
	return nil
}

// Release closes the held connections.
func (c *ClientCalls) Release(struct{}, *struct{}) error {
	for _, conn := range c.held {
		conn.Close()
	}
	c.held = nil
	return nil
}

// quantile sorts the durations and returns a quantile, or zero if there are none.
func quantile(d []time.Duration, q float64) time.Duration {
	if len(d) == 0 {
		return 0
	}
	slices.Sort(d)
	return d[int(q*float64(len(d)-1)+0.5)]
}
