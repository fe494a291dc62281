package netstack_test

import (
	"io"
	"testing"
	"time"

	"nexd/netstack"
)

// After an outage a transfer goes on as fast as before. gVisor alone would send two
// packets per timeout; see repair/rtorecovery.go.
func TestOutage(t *testing.T) {
	p := newPair(t, netstack.Config{})
	for range 4 { // it did not happen every time
		client, server := p.connect(t, addrB4)
		time.AfterFunc(5*time.Millisecond, func() { p.wire.down.Store(true) })
		time.AfterFunc(300*time.Millisecond, func() { p.wire.down.Store(false) })
		start := time.Now()
		exchange(t, client, server, big/2)
		if took := time.Since(start); took > 8*time.Second {
			t.Errorf("a transfer with an outage of 0.3 s took %v", took)
		}
	}
}

// On a long path the socket buffers grow, on both sides, and stay within bounds.
func TestBuffersGrowOnALongPath(t *testing.T) {
	const start, limit = 128 << 10, 1 << 20
	p := newPair(t, netstack.Config{BufferSize: start, MaxReceive: limit, MaxSend: limit})
	p.wire.delay.Store(int64(10 * time.Millisecond))
	client, server := p.connect(t, addrB4)
	go func() {
		io.Copy(client, random(30<<20, 1))
		client.(*netstack.Conn).CloseWrite()
	}()
	if n, err := io.Copy(io.Discard, server); n != 30<<20 || err != nil {
		t.Fatalf("received %d bytes, %v", n, err)
	}
	receive, _ := netstack.Buffers(server)
	_, send := netstack.Buffers(client)
	if receive <= start || send <= start || receive > limit || send > limit {
		t.Errorf("buffers grew to %d and %d, want more than %d and at most %d", receive, send, start, limit)
	}
	p.wire.delay.Store(0)
}
