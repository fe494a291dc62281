package forward

import (
	"context"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// oneClient is a listener that accepts one client, then has no descriptors for a while, and then
// accepts another.
type oneClient struct {
	clients chan net.Conn
	served  bool
	short   time.Time // until then
	closed  chan struct{}
	once    sync.Once
}

func (l *oneClient) Accept() (net.Conn, error) {
	if l.served && time.Now().Before(l.short) {
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: syscall.EMFILE}
	}
	select {
	case c := <-l.clients:
		l.served = true
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *oneClient) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l *oneClient) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8080} }

// A shortage of descriptors that lasts for minutes affects neither the connections of a rule nor
// its listener.
func TestALongShortageCutsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := &oneClient{clients: make(chan net.Conn, 1), short: time.Now().Add(10 * time.Minute), closed: make(chan struct{})}
		cfg := newMesh().config()
		cfg.ListenHost = func(context.Context, string, string) (net.Listener, error) { return ln, nil }
		cfg.DialMesh = func(context.Context, string, string) (net.Conn, error) {
			here, there := net.Pipe()
			go io.Copy(there, there)
			return here, nil
		}
		f, _ := running(t, cfg, "8080:node1:80")
		echoes := func(when string, c net.Conn) {
			t.Helper()
			c.SetDeadline(time.Now().Add(time.Minute))
			got := make([]byte, 5)
			if _, err := c.Write([]byte("hello")); err != nil {
				t.Errorf("%s: %v", when, err)
			}
			if _, err := io.ReadFull(c, got); err != nil || string(got) != "hello" {
				t.Errorf("%s: %q, %v", when, got, err)
			}
		}
		first, server := net.Pipe()
		ln.clients <- server
		echoes("at first", first)
		time.Sleep(5 * time.Minute)
		echoes("during the shortage", first)
		if st := f.Status()[0]; len(st.Listening) != 1 || st.Active != 1 || st.LastError == "" {
			t.Errorf("during the shortage: %+v", st)
		}
		second, server := net.Pipe()
		ln.clients <- server
		time.Sleep(6 * time.Minute)
		echoes("afterwards", first)
		echoes("a new one, afterwards", second)
	})
}
