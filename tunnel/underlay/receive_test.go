package underlay

import (
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"golang.zx2c4.com/wireguard/conn"

	"nexd/mesh"
	"nexd/tunnel/udp"
)

// script is a reader that does as it is told.
type script func(bufs [][]byte, sizes []int, spans []udp.Span) (int, error)

func (s script) Read(bufs [][]byte, sizes []int, spans []udp.Span) (int, error) {
	return s(bufs, sizes, spans)
}

// WireGuard gives up on a bind that returns errors, so it gets none but the last.
func TestReceiveErrorsAreNotTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := offline(t)
		b.SetPeers([]Peer{{Key: mesh.Key{1}}})
		b.indices.record(b.peer(mesh.Key{1}), 11, b.now())
		calls := 0
		r := &receiver{b: b, admit: func() {}, r: script(func(bufs [][]byte, sizes []int, spans []udp.Span) (int, error) {
			switch calls++; {
			case calls <= 30:
				return 0, errors.New("no memory")
			case calls == 31: // nobody we know: not worth returning
				sizes[0] = copy(bufs[0], "noise")
			case calls == 32:
				sizes[0], sizes[1], sizes[2] = copy(bufs[0], "noise"), copy(bufs[1], message(4, 64, 11)), copy(bufs[2], message(4, 64, 99))
				spans[0] = udp.Span{First: 0, Count: 3, Src: here}
				return 1, nil
			default:
				return 0, net.ErrClosed
			}
			spans[0] = udp.Span{First: 0, Count: 1, Src: here}
			return 1, nil
		})}
		v := vector{make([][]byte, 3), make([]int, 3), make([]conn.Endpoint, 3)}
		for i := range v.bufs {
			v.bufs[i] = make([]byte, 100)
		}
		began := time.Now()
		n, err := r.receive(v.bufs, v.sizes, v.eps)
		if n != 2 || err != nil || v.sizes[0] != 0 || v.sizes[1] != 64 || v.eps[1].(*endpoint).addr != here {
			t.Errorf("receive = %d, %v, sizes %v", n, err, v.sizes)
		}
		if d := time.Since(began); d != 20*errorPause {
			t.Errorf("paused %v for 30 errors", d)
		}
		if _, err := r.receive(v.bufs, v.sizes, v.eps); !errors.Is(err, net.ErrClosed) {
			t.Errorf("receive = %v", err)
		}
		if s := b.Stats(); s.ReceiveErrors != 30 || s.Malformed != 2 || s.UnknownIndex != 1 || s.Attributed != 1 {
			t.Errorf("stats %+v", s)
		}
	})
}
