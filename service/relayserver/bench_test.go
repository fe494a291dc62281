package relayserver_test

import (
	"sync/atomic"
	"testing"
	"time"

	"nexd/mesh"
	"nexd/relay"
)

// BenchmarkCarry is one node sending to another through the relay as fast as both
// take it; client, relay and client share this machine.
func BenchmarkCarry(b *testing.B) {
	for _, carrier := range []string{"websocket", "udp"} {
		b.Run(carrier, func(b *testing.B) {
			w := newWorld(b)
			if carrier == "udp" {
				w.withUDP()
			}
			var came atomic.Int64
			from := w.member("lab")
			to := w.member("lab", func(c *relay.Config) { c.Receive = func(mesh.Key, []byte) { came.Add(1) } })
			peer, packet := to.key.Public(), data(1, 1456-16)
			send := func(n int64) { // with a window, so that little is dropped
				for start, i := came.Load(), int64(0); came.Load()-start < n; i++ {
					for wait := time.Now(); i-(came.Load()-start) > 200; {
						if time.Since(wait) > 20*time.Millisecond {
							i = came.Load() - start // the rest was dropped
						}
						time.Sleep(20 * time.Microsecond)
					}
					from.client.Send(peer, packet)
				}
			}
			send(200)
			time.Sleep(50 * time.Millisecond)
			b.SetBytes(int64(len(packet)))
			b.ResetTimer()
			send(int64(b.N))
		})
	}
}
