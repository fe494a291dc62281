//go:build unix

package splice

import (
	"errors"
	"io"
	"net"
	"syscall"
	"testing"

	"nexd/internal/leak"
)

// directConn writes to the host's descriptor by itself, as netstack's
// connections can.
type directConn struct{ meshConn }

func (c directConn) WriteTo(w io.Writer) (total int64, err error) {
	sink, ok := w.(HostSink)
	if !ok {
		return 0, errors.New("not told of the host's socket")
	}
	out := &writer{raw: sink.RawConn()}
	out.call = out.writeNow
	buf := make([]byte, 4096)
	for {
		n, err := c.Read(buf)
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
		m, err := out.Write(buf[:n])
		sink.Moved(m)
		total += int64(m)
		if err != nil {
			return total, &net.OpError{Op: "write", Net: "host", Err: err}
		}
	}
}

func TestHostSink(t *testing.T) {
	leak.Check(t)
	a, b := tcpLink(t), meshLink(t)
	b.ours = directConn{b.ours.(meshConn)}
	done := start(t.Context(), Options{}, a, b)
	send1(t, b.peer, "hello")
	expect(t, a.peer, "hello")
	shut(t, b.peer)
	expectEOF(t, a.peer)
	send1(t, a.peer, "late")
	shut(t, a.peer)
	expect(t, b.peer, "late")
	if r := await(t, done); r.err != nil || r.ab != 4 || r.ba != 5 {
		t.Errorf("Pipe = %+v", r)
	}
}

// The client resets while the mesh connection writes to it by itself.
func TestHostSinkOfAClientThatLeaves(t *testing.T) {
	leak.Check(t)
	a, b := tcpLink(t), meshLink(t)
	b.ours = directConn{b.ours.(meshConn)}
	done := start(t.Context(), Options{}, a, b)
	send1(t, b.peer, "hello")
	expect(t, a.peer, "hello")
	a.peer.(*net.TCPConn).SetLinger(0)
	a.peer.Close()
	for {
		if _, err := b.peer.Write(make([]byte, 64<<10)); err != nil {
			if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
				t.Errorf("the other side got %v", err)
			}
			break
		}
	}
	if r := await(t, done); r.err != nil {
		t.Errorf("Pipe = %+v", r)
	}
}
