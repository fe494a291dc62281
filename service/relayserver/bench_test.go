package relayserver_test

import (
	"sync/atomic"
	"testing"
	"time"

	"nexd/internal/eventually"
	"nexd/mesh"
	"nexd/relay"
)

// BenchmarkCarry sends from one node to another through the relay as fast as both can. Clients and
// relay share this machine.
func BenchmarkCarry(b *testing.B) {
	for _, carrier := range []string{"websocket", "udp"} {
		b.Run(carrier, func(b *testing.B) {
			w := newWorld(b)
			if carrier == "udp" {
				w.withUDP()
			}
			var came atomic.Int64
			moved := make(chan struct{}, 1)
			from := w.member("lab")
			to := w.member("lab", func(c *relay.Config) {
				c.Receive = func(_ mesh.Key, p ...[]byte) {
					came.Add(int64(len(p)))
					select {
					case moved <- struct{}{}:
					default:
					}
				}
			})
			peer := to.key.Public()
			var packets [][]byte // as WireGuard hands them over
			for i := range 32 {
				packets = append(packets, data(i, 1452))
			}
			send := func(n int64) { // with a window, so that little is dropped
				for start, i := came.Load(), int64(0); came.Load()-start < n; i += int64(len(packets)) {
					for i-(came.Load()-start) > 200 {
						select {
						case <-moved:
						case <-time.After(20 * time.Millisecond):
							i = came.Load() - start // the rest was dropped
						}
					}
					from.client.Send(peer, packets...)
				}
			}
			send(200)
			if carrier == "udp" {
				eventually.Within(b, 30*time.Second, "UDP passes", func() bool { return from.client.Datagrams() && to.client.Datagrams() })
				send(2000)
			}
			b.SetBytes(int64(len(packets[0])))
			b.ResetTimer()
			send(int64(b.N))
			b.StopTimer()
			b.ReportMetric(float64(w.srv.Stats().Dropped), "dropped")
		})
	}
}
